// Enterprise-managed authorization (`io.modelcontextprotocol/enterprise-managed-authorization`): a client that has an ID token of
// the organisation's identity provider comes to a tool's answer, and no browser is opened after that login.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import path from 'node:path';
import { browse } from '../conformance/consent.mjs';
import { test } from '../conformance/report.mjs';
import { freePort, serve, start, temporaryFolder } from '../conformance/sekisho.mjs';
import { node, python, run } from './program.mjs';

const SECRET = 'a-secret-for-tests-only-0123456789abcdef';
const AT_THE_PROVIDER = { client_id: 'agent-at-the-provider', redirect_uri: 'http://localhost/agent' };

const CLIENTS = {
  typescript: { program: node('typescript/enterprise.mjs'), first: [] },
  python: { program: python('extensions.py'), first: [] },
  rmcp: { program: [process.env.CLIENT_RMCP], first: ['2026-07-28'] },
};

const sections = (provider, upstream) => `[[identity_provider]]
id = "corporate"
kind = "oidc"
issuer = "${provider}"
client_id = "sekisho"
client_secret_file = "provider.secret"
scopes = ["openid", "profile", "email"]
groups_claim = "groups"

[[trusted_issuer]]
issuer = "${provider}"
identity_provider = "corporate"
clients = ["agent"]

[[client]]
client_id = "agent"
redirect_uris = ["http://127.0.0.1/callback"]
secret_command = ["printf", "${SECRET}"]

[[mcp_server]]
name = "notes"
url = "${upstream}"
access = ["group:engineering"]
`;

/** What the client has from logging in to the identity provider: an ID token of its own. */
async function idToken(issuer, login) {
  const metadata = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json();
  const verifier = randomBytes(32).toString('base64url');
  const url = new URL(metadata.authorization_endpoint);
  const asked = { ...AT_THE_PROVIDER, response_type: 'code', scope: 'openid', state: 's', code_challenge_method: 'S256', code_challenge: createHash('sha256').update(verifier).digest('base64url') };
  for (const [name, value] of Object.entries(asked)) url.searchParams.set(name, value);
  const { url: back } = await browse(url.href, { fields: new URLSearchParams({ login, password: 'x' }), fetchCallback: false });
  const form = { ...AT_THE_PROVIDER, grant_type: 'authorization_code', code: back.searchParams.get('code'), code_verifier: verifier, client_secret: SECRET };
  const answer = await fetch(metadata.token_endpoint, { method: 'POST', body: new URLSearchParams(form) });
  assert.equal(answer.status, 200, await answer.clone().text());
  return (await answer.json()).id_token;
}

/** Signs in here, on the way to an authorization of the agent that nobody goes on with. */
async function signIn(url, person) {
  const { authorization_endpoint } = await (await fetch(`${url}/.well-known/oauth-authorization-server`)).json();
  const challenge = createHash('sha256').update(randomBytes(32).toString('base64url')).digest('base64url');
  const asked = { response_type: 'code', client_id: 'agent', redirect_uri: 'http://127.0.0.1/callback', resource: `${url}/notes/mcp`, state: 's', code_challenge_method: 'S256', code_challenge: challenge };
  await browse(`${authorization_endpoint}?${new URLSearchParams(asked)}`, { fields: new URLSearchParams({ login: person, password: 'x' }), fetchCallback: false });
}

export async function withEnterprise() {
  const port = await freePort(), url = `http://localhost:${port}`;
  const log = (name) => path.join(temporaryFolder(name), 'log');
  const launch = ([program, ...file], options) => start(program, file, options);
  const agent = { ...AT_THE_PROVIDER, connections: [{ audience: url, client_id: 'agent', scopes: ['read'] }] };
  const provider = await launch(node('../conformance/oidc-provider.mjs'), {
    env: { PORT: '0', OIDC_REDIRECT_URIS: `${url}/login/callback/corporate`, OIDC_AGENT: JSON.stringify(agent) }, ready: /^issuer (\S+)/m, log: log('oidc-provider'),
  });
  const upstream = await launch(node('upstream.mjs'), { env: { SEKISHO: url }, ready: /^listening (\S+)/m, log: log('upstream') });
  const sekisho = await serve('enterprise', sections(provider.said, upstream.said), { port });
  const env = (token) => ({
    CLIENT_ID: 'agent', CLIENT_SECRET: SECRET, ISSUER: url,
    IDP: provider.said, IDP_CLIENT_ID: AT_THE_PROVIDER.client_id, IDP_CLIENT_SECRET: SECRET, ID_TOKEN: token,
  });
  const alice = await idToken(provider.said, 'alice'), bob = await idToken(provider.said, 'bob');
  const refused = async (token, reason) => {
    await assert.rejects(run(CLIENTS.typescript.program, [`${url}/notes/mcp`, 'whoami'], env(token)), /invalid_grant/);
    const last = (await sekisho.audit()).findLast((event) => event.kind === 'token_refused');
    assert.deepEqual([last?.reason, last?.client_id], [reason, 'agent']);
  };
  await test('typescript with an ID-JAG of a person who never came, refused', () => refused(alice, 'id_jag_person_unknown'));
  // Once, through a browser: an ID-JAG makes no account. Bob is known from then on, and ends at a page that does not admit him.
  await signIn(url, 'alice');
  await assert.rejects(signIn(url, 'bob'), /no form to submit/);
  for (const [name, { program, first }] of Object.entries(CLIENTS))
    await test(`${name} with an ID-JAG, no browser after the login`, async () => {
      const seen = await run(program, [`${url}/notes/mcp`, ...first, 'whoami'], env(alice));
      assert.equal(seen.isError, false, seen.text);
      assert.deepEqual([seen.scope, seen.refreshToken], ['read', false], 'what the identity provider allows, and no refresh token');
      const { claims, leaked } = JSON.parse(seen.text);
      assert.deepEqual(leaked, [], 'headers that must not reach the MCP server');
      assert.deepEqual([claims.name, claims.client_id, claims.scope], ['Alice Tanaka', 'agent', 'read']);
      const events = await sekisho.audit();
      assert.ok(events.some((event) => event.kind === 'token_issued' && event.client_id === 'agent' && event.detail?.grant_type === 'id-jag' && event.detail?.issuer === provider.said));
    });
  await test('typescript with an ID-JAG of a person whom the MCP server does not admit, refused', () => refused(bob, 'not_admitted'));
}
