// Clients without a browser: client credentials (`io.modelcontextprotocol/oauth-client-credentials`) by a secret and by a key, and
// the device authorization grant, where the browser is elsewhere; and the JWT of a workload in place of a client. Each from the 401
// to a tool's answer.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomUUID, sign } from 'node:crypto';
import { createServer } from 'node:http';
import path from 'node:path';
import { test } from '../conformance/report.mjs';
import { freePort, serve, start, temporaryFolder } from '../conformance/sekisho.mjs';
import { node, python, run } from './program.mjs';

const SECRET = 'secret-of-the-runner';

// What each can do: the SDK for stdio has no keys.
const MACHINES = {
  typescript: { program: node('typescript/machine.mjs'), first: [], methods: ['secret', 'key'] },
  python: { program: python('extensions.py'), first: [], methods: ['secret', 'key'] },
  rmcp: { program: [process.env.CLIENT_RMCP], first: ['2026-07-28'], methods: ['secret', 'key'] },
  'mcp-remote': { program: node('mcp-remote/client.mjs'), first: ['2025-11-25'], methods: ['secret'] },
};

/** The client's own host of keys, as its `jwks_uri` names it. */
async function keyHost(publicKey) {
  const jwks = JSON.stringify({ keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'a', alg: 'ES256' }] });
  const server = createServer((_, answer) => answer.writeHead(200, { 'content-type': 'application/json' }).end(jwks));
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  server.unref();
  return `http://127.0.0.1:${server.address().port}/jwks`;
}

const sections = (jwksUri, upstream) => `[[identity_provider]]
id = "development"
kind = "development"

[[client]]
client_id = "runner"
secret_command = ["printf", "${SECRET}"]

[[client]]
client_id = "keyed-runner"
jwks_uri = "${jwksUri}"

[[client]]
client_id = "terminal"
redirect_uris = ["http://127.0.0.1/callback"]

[[service_account]]
name = "ci"
title = "Builds"
clients = ["runner", "keyed-runner"]

[[service_account.workload]]
issuer = "https://platform.example"
claims = ["sub=builds/main"]

[[workload_issuer]]
issuer = "https://platform.example"
platform = "other"
jwks_uri = "${jwksUri}"

[[mcp_server]]
name = "notes"
url = "${upstream}"
access = ["group:engineering", "service-account:ci"]

[[mcp_server]]
name = "ledger"
url = "${upstream}"
access = ["service-account:ci:read"]
`;

/** What a platform says of a program that runs on it. */
function assertion(privateKey, claims) {
  const now = Math.floor(Date.now() / 1000);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const said = `${part({ alg: 'ES256', typ: 'JWT', kid: 'a' })}.${part({ iss: 'https://platform.example', iat: now, exp: now + 300, jti: randomUUID(), ...claims })}`;
  return `${said}.${sign('sha256', Buffer.from(said), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}

/** What the MCP server was told, and what the audit tells, of a machine. */
async function judge(seen, { id, server, scope, sekisho, grant = 'client_credentials' }) {
  assert.equal(seen.isError, false, seen.text);
  assert.ok(seen.tools.includes('whoami'));
  assert.equal(seen.refreshToken, false, 'the credentials are at hand: no refresh token');
  // A bridge that speaks on stdio does not tell which scope it holds; the audit does.
  if ('scope' in seen) assert.equal(seen.scope, scope);
  const { claims, leaked } = JSON.parse(seen.text);
  assert.deepEqual(leaked, [], 'headers that must not reach the MCP server');
  assert.deepEqual([claims.service_account, claims.name, claims.client_id, claims.scope], ['ci', 'Builds', id, scope]);
  const events = await sekisho.audit();
  assert.ok(events.some((event) => event.kind === 'token_issued' && event.client_id === id && event.server === server && event.detail?.grant_type === grant));
}

export async function withMachines() {
  const port = await freePort(), url = `http://localhost:${port}`;
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const [upstreamProgram, ...file] = node('upstream.mjs');
  const upstream = await start(upstreamProgram, file, { env: { SEKISHO: url }, ready: /^listening (\S+)/m, log: path.join(temporaryFolder('upstream'), 'log') });
  const sekisho = await serve('machines', sections(await keyHost(publicKey), upstream.said), { port });
  const ways = { secret: { CLIENT_ID: 'runner', CLIENT_SECRET: SECRET }, key: { CLIENT_ID: 'keyed-runner', PRIVATE_KEY: privateKey.export({ format: 'pem', type: 'pkcs8' }) } };
  // The 401 names the scopes of the MCP server, the same for everybody; at `ledger` the account may have one of them.
  for (const [name, { program, first, methods }] of Object.entries(MACHINES))
    for (const method of methods)
      for (const [server, scope] of [['notes', 'read write'], ['ledger', 'read']])
        await test(`${name} as a machine by its ${method}, ${scope} at ${server}`, async () => {
          const seen = await run(program, [`${url}/${server}/mcp`, ...first, 'whoami'], { ...ways[method], ISSUER: url });
          await judge(seen, { id: ways[method].CLIENT_ID, server, scope, sekisho });
        });
  const workload = (claims) => run(MACHINES.typescript.program, [`${url}/notes/mcp`, 'whoami'], { CLIENT_ID: 'service-account:ci', ASSERTION: assertion(privateKey, { aud: url, ...claims }) });
  await test('typescript as a workload by a JWT of its platform', async () => {
    const seen = await workload({ sub: 'builds/main' });
    await judge(seen, { id: 'service-account:ci', server: 'notes', scope: 'read write', sekisho, grant: 'workload' });
  });
  await test('typescript as a workload of another name, of another audience and too late, refused', async () => {
    for (const claims of [{ sub: 'builds/other' }, { sub: 'builds/main', aud: 'https://wrong.example' }, { sub: 'builds/main', exp: 1 }])
      await assert.rejects(workload(claims), /invalid_grant/);
  });
  await test('mcp-remote where the browser is elsewhere, device authorization', async () => {
    const seen = await run(node('mcp-remote/client.mjs'), [`${url}/notes/mcp`, '2025-11-25', 'whoami'], { DEVICE: 'terminal' });
    assert.equal(seen.isError, false, seen.text);
    assert.deepEqual([seen.authorizations, seen.refreshToken], [0, true], 'no browser was opened by the client');
    const { claims } = JSON.parse(seen.text);
    assert.deepEqual([claims.name, claims.client_id], ['Alice Tanaka', 'terminal']);
    const events = await sekisho.audit();
    assert.ok(events.some((event) => event.kind === 'token_issued' && event.client_id === 'terminal'));
  });
}
