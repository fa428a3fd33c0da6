// The authorization mode of the MCP conformance suite against the built binary.
//
//   SEKISHO_BIN=…/sekisho CLIENT_METADATA_HOST=…/client_metadata_host node run.mjs        with the Node of package-lock.json (the suite needs 22)
//
// Six runs: a client registered dynamically, one registered beforehand, and one that is known by its metadata document over
// TLS (CLIENT_METADATA_HOST serves it), each with and without `scope`. Each must exit 0 with the code grant and the flag for
// such documents SUCCESS, and warn of nothing. The environment names a proxy that is not there: nobody may ask it.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { browse } from './consent.mjs';
import { finish, test } from './report.mjs';
import { freePort, metadataHost, serve, temporaryFolder } from './sekisho.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const PRE_REGISTERED = 'conformance';

const sections = (documents) => `[[identity_provider]]
id = "development"
kind = "development"

[[mcp_server]]
name = "notes"
url = "http://127.0.0.1:9/mcp"
access = "everyone who may log in"

[[client]]
client_id = "${PRE_REGISTERED}"
redirect_uris = ["http://127.0.0.1/callback"]

${documents}`;

async function register(issuer) {
  const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
  const response = await fetch(metadata.registration_endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'conformance', redirect_uris: ['http://127.0.0.1/callback'], token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] }),
  });
  assert.equal(response.status, 201, await response.clone().text());
  return (await response.json()).client_id;
}

const checksIn = (folder) =>
  fs.readdirSync(folder, { recursive: true }).filter((name) => path.basename(name) === 'checks.json').flatMap((name) => JSON.parse(fs.readFileSync(path.join(folder, name))));

/** Runs the suite once and follows the URL that it prints. Answers its exit code, its words and its checks. */
async function conformance(issuer, clientId, add) {
  const folder = temporaryFolder('conformance');
  const args = ['authorization', '--url', issuer, '--client-id', clientId, '--resource', `${issuer}/notes/mcp`, '-p', String(await freePort()), '-o', folder];
  // Called through the Node that runs this file: the suite's own first line would take the machine's.
  const child = spawn(process.execPath, [path.join(here, 'node_modules/@modelcontextprotocol/conformance/dist/index.js'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let words = '', visit;
  const read = (chunk) => {
    words += chunk;
    const url = words.match(/^\s*(https?:\/\/\S*response_type=code\S*)\s*$/m)?.[1];
    if (url) visit ??= browse(url, { add, log: (...parts) => { words += `[browser] ${parts.join(' ')}\n`; } }).catch((error) => { words += `${error.message}\n`; child.kill(); });
  };
  child.stdout.on('data', read);
  child.stderr.on('data', read);
  const late = setTimeout(() => child.kill(), 60_000);
  const code = await new Promise((gone) => child.once('close', gone));
  clearTimeout(late);
  await visit;
  return { code, words, checks: checksIn(folder) };
}

function judge({ code, words, checks }) {
  const of = (status) => checks.filter((check) => check.status === status).map((check) => check.id);
  assert.equal(code, 0, words);
  assert.deepEqual(of('FAILURE'), [], words);
  for (const id of ['authorization-server-metadata', 'authorization-server-metadata-cimd', 'authorization-code-grant'])
    assert.equal(checks.find((check) => check.id === id)?.status, 'SUCCESS', `${id}\n${words}`);
  assert.deepEqual(of('WARNING'), [], words);
}

try {
  const nobody = `http://127.0.0.1:${await freePort()}`;
  const host = await metadataHost();
  const sekisho = await serve('conformance', sections(host.sections), { env: { HTTPS_PROXY: nobody, https_proxy: nobody, ALL_PROXY: nobody, NO_PROXY: '' } });
  for (const [kind, clientId] of [['dynamically registered', () => register(sekisho.url)], ['pre-registered', () => PRE_REGISTERED], ['known by its document', () => host.said]])
    for (const [scope, add] of [['without scope', undefined], ['with scope', 'scope=read']])
      await test(`client ${kind}, ${scope}`, async () => judge(await conformance(sekisho.url, await clientId(), add)));
} catch (error) {
  await test('the server starts', () => { throw error; });
} finally {
  await finish('conformance');
}
