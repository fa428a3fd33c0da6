// Runs one client program and answers what it printed: the runner's only way to a client.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from '../conformance/sekisho.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const browser = path.join(here, '../conformance/browser.sh');

/** A program of this folder, run by the Node that runs this file. */
export const node = (file) => [process.execPath, path.join(here, file)];

/** A program of this folder, run by the Python of the SDK. */
export const python = (file) => [process.env.PYTHON, path.join(here, 'python', file)];

/** Runs it with these arguments and this environment; it must end well within 90 seconds. */
export async function run(command, args, env) {
  const { seen, complaint } = await attempt(command, args, env);
  assert.ok(seen, complaint);
  return seen;
}

/** Runs it and answers what it printed as `seen`, or, if it failed, its `complaint`; the tests say which they expect. */
export async function attempt([command, ...first], args, env) {
  assert.ok(command, `no program is named for ${first.concat(args).join(' ')}`);
  const log = path.join(temporaryFolder('browser'), 'browser.log');
  const child = spawn(command, [...first, ...args], { env: { ...process.env, BROWSER: browser, NODE: process.execPath, BOT_LOG: log, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '', complaint = '';
  child.stdout.on('data', (chunk) => { out += chunk; });
  child.stderr.on('data', (chunk) => { complaint += chunk; });
  const late = setTimeout(() => child.kill('SIGKILL'), 90_000);
  const code = await new Promise((gone) => child.once('close', gone));
  clearTimeout(late);
  if (code === 0) return { seen: JSON.parse(out) };
  return { complaint: `ended with ${code}:\n${complaint}\n${fs.existsSync(log) ? fs.readFileSync(log) : 'the browser was not opened'}` };
}
