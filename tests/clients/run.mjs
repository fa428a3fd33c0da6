// Real MCP clients, headless, against the built binary: each discovers, registers, passes the pages and calls a tool.
//
//   SEKISHO_BIN=… CLIENT_METADATA_HOST=… CLIENT_RMCP=… PYTHON=… PYTHON_V1=… node run.mjs
//
// Every client on every revision that it speaks, with `sekisho demo` (example people, example MCP servers), and with
// `sekisho serve` between a real OpenID provider and an MCP server of another SDK. What the client saw and what
// `sekisho audit` tells of it must agree. Clients without a browser follow: machines.mjs and enterprise.mjs; one that holds a
// key: proofs.mjs; published MCP servers as they are: published.mjs; and the examples for MCP servers: who.mjs. `ONLY=word` runs the parts whose name contains the word.
import assert from 'node:assert/strict';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { finish, test } from '../conformance/report.mjs';
import { demo, freePort, metadataHost, serve, start, temporaryFolder } from '../conformance/sekisho.mjs';
import { withEnterprise } from './enterprise.mjs';
import { withMachines } from './machines.mjs';
import { run } from './program.mjs';
import { withProofs } from './proofs.mjs';
import { withPublishedServers } from './published.mjs';
import { withExamplesOfWhoIsCalling } from './who.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const REVISIONS = ['2025-11-25', '2026-07-28'];

/** A program of this folder, run by the Node that runs this file. */
const node = (file, revisions, env = {}) => ({ command: [process.execPath, path.join(here, file)], revisions, env });

// The SDKs as they are, the lines before them that are still installed everywhere, and programs that people use.
const CLIENTS = {
  typescript: node('typescript/client.mjs', REVISIONS),
  python: { command: [process.env.PYTHON, path.join(here, 'python/client.py')], revisions: REVISIONS },
  rmcp: { command: [process.env.CLIENT_RMCP], revisions: REVISIONS },
  'typescript-v1': node('typescript-v1/client.mjs', ['2025-11-25'], { SDK: '@modelcontextprotocol/sdk' }),
  'typescript-1.17': node('typescript-v1/client.mjs', ['2025-06-18'], { SDK: 'sdk-1.17' }),
  'python-v1': { command: [process.env.PYTHON_V1, path.join(here, 'python/client_v1.py')], revisions: ['2025-11-25'] },
  inspector: node('inspector/client.mjs', REVISIONS),
  'mcp-remote': node('mcp-remote/client.mjs', REVISIONS),
};

/** Runs one client and answers what it printed. */
const client = (name, url, revision, tool, bot = {}) => run(CLIENTS[name].command, [url, revision, tool], { ...CLIENTS[name].env, ...bot });

/** What must be true of every run, whatever stands behind. */
function judge(seen, revision, clientId) {
  // A program that does not tell which revision it spoke is asked about it by the MCP server below.
  if ('protocolVersion' in seen) assert.equal(seen.protocolVersion, revision === 'handshake' ? '2025-11-25' : revision);
  assert.equal(seen.isError, false, seen.text);
  assert.equal(seen.authorizations, 1, 'the person was sent to the browser once');
  if (clientId) assert.equal(seen.clientId, clientId, 'the client is known by its document');
  else assert.ok(seen.clientId.startsWith('dcr_'), 'the client registered dynamically');
  assert.ok(seen.refreshToken, 'a refresh token came with the access token');
  if ('refreshes' in seen) assert.equal(seen.refreshes, 1, 'the SDK refreshed by itself, once');
  assert.ok(seen.tools.includes(seen.tool), 'the tool was listed');
}

/** The audit trail tells the same story: sign-in, consent, token, calls, in this order and none refused. */
function judgeEvents(events, seen) {
  const mine = events.filter((event) => event.client_id === seen.clientId);
  const kinds = mine.map((event) => event.kind);
  const consent = mine.find((event) => event.kind === 'consent_given');
  assert.ok(consent, `no consent of this client among ${kinds}`);
  assert.ok(events.some((event) => event.kind === 'sign_in' && event.outcome === 'ok' && event.reference === consent.reference), 'no sign-in under the reference of the consent');
  assert.ok(kinds.indexOf('consent_given') < kinds.indexOf('token_issued'), `consent comes before the token: ${kinds}`);
  assert.ok(kinds.indexOf('token_issued') < kinds.indexOf('call'), `the token comes before the calls: ${kinds}`);
  const methods = mine.filter((event) => event.kind === 'call').map((event) => event.detail?.method);
  for (const method of ['tools/list', 'tools/call']) assert.ok(methods.includes(method), `no ${method} among ${methods}`);
  if (seen.refreshes) assert.ok(kinds.includes('token_refreshed'), `no refresh among ${kinds}`);
  assert.deepEqual(mine.filter((event) => event.outcome !== 'ok'), []);
}

/** Calls that only read are written in batches within a second: what is not there yet is looked for again. */
async function judgeAudit(sekisho, seen) {
  const deadline = Date.now() + 5_000;
  for (;;) {
    try { judgeEvents(await sekisho.audit(), seen); return; } catch (error) {
      if (!(error instanceof assert.AssertionError) || Date.now() > deadline) throw error;
    }
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

async function withExamplePeople() {
  const sekisho = await demo();
  for (const [name, { revisions }] of Object.entries(CLIENTS))
    for (const revision of name === 'rmcp' ? [...revisions, 'handshake'] : revisions)
      await test(`${name} ${revision}, example people and servers`, async () => {
        const seen = await client(name, `${sekisho.url}/notes/mcp`, revision, 'who_am_i');
        judge(seen, revision);
        assert.match(seen.text, /^Alice Tanaka \(.*groups: engineering; scopes: .*\bread\b/);
        await judgeAudit(sekisho, seen);
      });
  assert.equal(await sekisho.stop('SIGINT'), 0, 'Ctrl-C stops the demo cleanly');
}

async function withOpenIdProvider() {
  const port = await freePort(), url = `http://localhost:${port}`;
  const log = (name) => path.join(temporaryFolder(name), 'log');
  const provider = await start(process.execPath, [path.join(here, '../conformance/oidc-provider.mjs')], {
    env: { PORT: '0', OIDC_REDIRECT_URIS: `${url}/login/callback/corporate` }, ready: /^issuer (\S+)/m, log: log('oidc-provider'),
  });
  const upstream = await start(process.execPath, [path.join(here, 'upstream.mjs')], { env: { SEKISHO: url }, ready: /^listening (\S+)/m, log: log('upstream') });
  const host = await metadataHost();
  const sekisho = await serve('clients', `${host.sections}
[[identity_provider]]
id = "development"
kind = "development"

[[identity_provider]]
id = "corporate"
kind = "oidc"
issuer = "${provider.said}"
client_id = "sekisho"
client_secret_file = "provider.secret"
scopes = ["openid", "profile", "email"]
groups_claim = "groups"

[[mcp_server]]
name = "notes"
url = "${upstream.said}"
access = ["group:engineering"]
`, { port });
  for (const name of ['typescript', 'rmcp']) for (const revision of CLIENTS[name].revisions)
    await test(`${name} ${revision}, known by its metadata document`, async () => {
      const seen = await client(name, `${url}/notes/mcp`, revision, 'whoami', { BOT_CONNECTOR: 'corporate', CLIENT_METADATA_URL: host.said });
      judge(seen, revision, host.said);
      assert.equal(JSON.parse(seen.text).claims.client_id, host.said);
      await judgeAudit(sekisho, seen);
    });
  for (const [name, { revisions }] of Object.entries(CLIENTS))
    for (const revision of revisions)
      await test(`${name} ${revision}, OpenID provider and an MCP server of the TypeScript SDK`, async () => {
        const seen = await client(name, `${url}/notes/mcp`, revision, 'whoami', { BOT_CONNECTOR: 'corporate' });
        judge(seen, revision);
        const { claims, leaked, version } = JSON.parse(seen.text);
        assert.equal(version, revision, 'the revision that the MCP server was spoken to in');
        assert.deepEqual(leaked, [], 'headers that must not reach the MCP server');
        assert.deepEqual(claims.groups, ['engineering']);
        assert.equal(claims.name, 'Alice Tanaka');
        assert.equal(claims.client_id, seen.clientId);
        await judgeAudit(sekisho, seen);
      });
}

try {
  const parts = [withExamplePeople, withOpenIdProvider, withMachines, withEnterprise, withProofs, withPublishedServers, withExamplesOfWhoIsCalling];
  for (const part of parts.filter(({ name }) => name.includes(process.env.ONLY ?? '')))
    try { await part(); } catch (error) { await test(part.name, () => { throw error; }); }
} finally {
  await finish('clients');
}
