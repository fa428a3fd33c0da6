// The client mode of the MCP conformance suite against the gateway's OAuth client, as far as it is about authorization.
//
//   CONFORMANCE_CLIENT=…/conformance_client node client.mjs
//
// Every scenario below must run, succeed in something and fail and warn of nothing. The rest of the mode is about messages, which the
// gateway carries and does not write, or about extensions that it has no use for.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { resultsIn } from './compare.mjs';
import { finish, test } from './report.mjs';
import { temporaryFolder } from './sekisho.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));

const ALWAYS = [
  'metadata-default', 'metadata-var1', 'metadata-var2', 'metadata-var3', 'basic-cimd', 'scope-from-www-authenticate', 'scope-from-scopes-supported',
  'scope-omitted-when-undefined', 'scope-step-up', 'scope-retry-limit', 'token-endpoint-auth-basic', 'token-endpoint-auth-post', 'token-endpoint-auth-none',
  'pre-registration',
];
const SCENARIOS = {
  '2025-03-26': ['2025-03-26-oauth-metadata-backcompat', '2025-03-26-oauth-endpoint-fallback'],
  '2025-11-25': ALWAYS,
  '2026-07-28': [
    ...ALWAYS, 'resource-mismatch', 'offline-access-scope', 'offline-access-not-supported', 'authorization-server-migration', 'iss-supported',
    'iss-not-advertised', 'iss-supported-missing', 'iss-wrong-issuer', 'iss-unexpected', 'iss-normalized', 'metadata-issuer-mismatch',
  ],
};

/** One scenario. Answers the suite's words and its checks. */
async function play(scenario, revision) {
  const folder = temporaryFolder('client');
  const args = ['client', '--command', process.env.CONFORMANCE_CLIENT, '--scenario', `auth/${scenario}`, '--spec-version', revision, '--timeout', '30000', '-o', folder];
  const child = spawn(process.execPath, [path.join(here, 'node_modules/@modelcontextprotocol/conformance/dist/index.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { said += chunk; });
  const late = setTimeout(() => child.kill('SIGKILL'), 60_000);
  await new Promise((gone) => child.once('close', gone));
  clearTimeout(late);
  return { said, checks: [...resultsIn(folder).values()].flat() };
}

for (const [revision, scenarios] of Object.entries(SCENARIOS))
  for (const scenario of scenarios)
    await test(`${revision}, auth/${scenario}`, async () => {
      const { said, checks } = await play(scenario, revision);
      const of = (...statuses) => checks.filter((check) => statuses.includes(check.status)).map((check) => `${check.id}: ${check.errorMessage ?? ''}`);
      assert.deepEqual(of('FAILURE', 'WARNING'), [], said.slice(-2000));
      assert.ok(of('SUCCESS').length, `nothing was shown\n${said.slice(-2000)}`);
    });
await finish('client');
