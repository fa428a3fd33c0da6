// The examples of `docs/who-is-calling.md`, as they stand there: what an MCP server is sent is checked with stock libraries of
// TypeScript and Python. (The example in Rust is run by `cargo test`: tests/flows/who_is_calling.rs.)
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { test } from '../conformance/report.mjs';
import { freePort, serve } from '../conformance/sekisho.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const examples = path.join(here, '../../examples/who-is-calling');
const SECRET = 'secret-of-the-reports';

/** An MCP server that keeps what it is sent to say who calls. */
async function mcpServer() {
  const assertions = [];
  const server = createServer((request, answer) => {
    assertions.push(request.headers['sekisho-identity']);
    let text = '';
    request.on('data', (chunk) => { text += chunk; }).on('end', () => {
      answer.writeHead(200, { 'content-type': 'application/json' });
      answer.end(JSON.stringify({ jsonrpc: '2.0', id: JSON.parse(text).id, result: {} }));
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  server.unref();
  return { url: `http://127.0.0.1:${server.address().port}/mcp`, assertions };
}

/** Calls the MCP server as the service account; answers the access token and what the MCP server was sent. */
async function call(issuer, name, server) {
  const form = new URLSearchParams({ grant_type: 'client_credentials', resource: `${issuer}/${name}/mcp` });
  const basic = Buffer.from(`reports:${SECRET}`).toString('base64');
  const issued = await fetch(`${issuer}/oauth/token`, { method: 'POST', body: form, headers: { authorization: `Basic ${basic}` } });
  const { access_token: token } = await issued.json();
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' };
  const answer = await fetch(`${issuer}/${name}/mcp`, { method: 'POST', headers, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping' }) });
  assert.equal(answer.status, 200, await answer.text());
  return { token, assertion: server.assertions.at(-1) };
}

/** The example in TypeScript, type-checked and compiled beside the libraries that it imports. */
async function typescript(issuer, audience) {
  const folder = path.join(here, 'node_modules/.cache/who-is-calling');
  fs.mkdirSync(folder, { recursive: true });
  fs.copyFileSync(path.join(examples, 'who.ts'), path.join(folder, 'who.mts'));
  const options = ['--strict', '--target', 'es2022', '--module', 'nodenext', '--skipLibCheck', '--types', ''];
  const compiled = spawnSync(process.execPath, [path.join(here, 'node_modules/typescript/bin/tsc'), ...options, 'who.mts'], { cwd: folder });
  assert.equal(compiled.status, 0, `${compiled.stdout}${compiled.stderr}`);
  const { callers } = await import(pathToFileURL(path.join(folder, 'who.mjs')).href);
  const who = callers(issuer, audience);
  return async (assertion) => { try { return await who(assertion); } catch { return null; } };
}

const DRIVER = `import json, sys
sys.path.insert(0, sys.argv[1])
import jwt
from who import Callers
callers = Callers(sys.argv[2], sys.argv[3])
try:
    print(json.dumps(callers.who(sys.stdin.read())))
except jwt.PyJWTError:
    print("null")
`;

/** The example in Python. */
const python = (issuer, audience) => async (assertion) => {
  const ran = spawnSync(process.env.PYTHON, ['-B', '-c', DRIVER, examples, issuer, audience], { input: assertion });
  assert.equal(ran.status, 0, `${ran.stderr}`);
  return JSON.parse(ran.stdout);
};

/** The same JWT with another subject and the old signature. */
function forged(assertion) {
  const [header, claims, signature] = assertion.split('.');
  const other = { ...JSON.parse(Buffer.from(claims, 'base64url')), sub: 'somebody-else' };
  return [header, Buffer.from(JSON.stringify(other)).toString('base64url'), signature].join('.');
}

export async function withExamplesOfWhoIsCalling() {
  const [notes, ledger] = [await mcpServer(), await mcpServer()];
  const server = (name, { url }) => `[[mcp_server]]\nname = "${name}"\nurl = "${url}"\naccess = ["service-account:reports"]\n`;
  const sekisho = await serve('who', `[[identity_provider]]
id = "development"
kind = "development"

[[client]]
client_id = "reports"
secret_command = ["printf", "${SECRET}"]

[[service_account]]
name = "reports"
title = "Reports"
clients = ["reports"]

${server('notes', notes)}
${server('ledger', ledger)}`, { port: await freePort() });
  const ours = await call(sekisho.url, 'notes', notes), theirs = await call(sekisho.url, 'ledger', ledger);
  for (const [language, example] of Object.entries({ TypeScript: typescript, Python: python })) {
    await test(`the example in ${language} says who calls, and takes nothing else for it`, async () => {
      const who = await example(sekisho.url, notes.url);
      const caller = await who(ours.assertion);
      assert.deepEqual([caller.name, caller.service_account, caller.client_id], ['Reports', 'reports', 'reports']);
      const wrong = { 'an access token': ours.token, 'what another MCP server was sent': theirs.assertion, 'a forgery': forged(ours.assertion), nothing: '' };
      for (const [what, token] of Object.entries(wrong)) assert.equal(await who(token), null, `${what} is taken for an identity assertion`);
      // Even where both would name the same audience, an access token is no identity assertion: its `typ` is another.
      const careless = await example(sekisho.url, `${sekisho.url}/notes/mcp`);
      assert.equal(await careless(ours.token), null, 'an access token is taken for an identity assertion');
    });
  }
  await sekisho.stop();
}
