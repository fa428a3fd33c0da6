// Two runs of the suite, held against each other: what the MCP server does by itself, and what is left of it through the gateway.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';

/** The checks in a folder of results, by scenario. */
export function resultsIn(folder) {
  const results = new Map();
  for (const entry of fs.readdirSync(folder, { recursive: true }).filter((name) => path.basename(name) === 'checks.json')) {
    // The suite calls the folder of a scenario `server-<scenario>-<time>`.
    const scenario = path.basename(path.dirname(entry)).replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
    assert.ok(!results.has(scenario), `two results of ${scenario} in ${folder}`);
    results.set(scenario, JSON.parse(fs.readFileSync(path.join(folder, entry))));
  }
  return results;
}

/** Every verdict of a scenario, in a fixed order. INFO is the suite's own log: how often it says something is no verdict. */
const verdicts = (checks) => checks.filter((check) => check.status !== 'INFO').map((check) => `${check.id} (${check.name}): ${check.status}`).sort();

/** What stands in one list and not in the other, as often as it does. */
const without = (list, other) => { const rest = [...other]; return list.filter((entry) => { const at = rest.indexOf(entry); if (at < 0) return true; rest.splice(at, 1); return false; }); };

/** What differs between two runs, one line each. Two runs without a verdict differ in nothing and prove nothing. */
export function differences(direct, through) {
  const told = [];
  for (const scenario of [...new Set([...direct.keys(), ...through.keys()])].sort()) {
    const [expected, seen] = [direct, through].map((results) => verdicts(results.get(scenario) ?? []));
    told.push(...without(expected, seen).map((entry) => `${scenario}: only direct:  ${entry}`));
    told.push(...without(seen, expected).map((entry) => `${scenario}: only through: ${entry}${reason(through.get(scenario), entry)}`));
  }
  if (![...direct.values()].some((checks) => verdicts(checks).length)) told.push('the direct run has no verdict at all');
  return told;
}

const reason = (checks, entry) => {
  const message = checks.find((check) => entry === `${check.id} (${check.name}): ${check.status}`)?.errorMessage;
  return message ? `\n    ${message.replace(/\s+/g, ' ').slice(0, 400)}` : '';
};

/** Checks of one status, as `scenario: id`. */
export const ofStatus = (results, ...statuses) =>
  [...results].flatMap(([scenario, checks]) => checks.filter((check) => statuses.includes(check.status)).map((check) => `${scenario}: ${check.id}`)).sort();
