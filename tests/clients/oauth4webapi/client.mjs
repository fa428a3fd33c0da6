// A client that holds a key, of oauth4webapi: discovers, registers, pushes its request (RFC 9126), proves its key at every step
// (RFC 9449), refreshes, and calls one tool. It answers nonces as they are asked for.
//
//   BROWSER=… node client.mjs <mcp-url> <tool>
//
// Prints one line of JSON with what it saw. The exit code says whether it worked.
import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import * as oauth from 'oauth4webapi';

const [url, tool] = process.argv.slice(2);
if (!url || !tool) throw new Error('usage: client.mjs <mcp-url> <tool>');
// The house is on the loopback interface.
const plain = { [oauth.allowInsecureRequests]: true };
let nonces = 0;

/** What an honest client does when it is told a nonce: the same again. The library keeps the nonce. */
async function withNonce(ask) {
  try { return await ask(); } catch (error) {
    if (!oauth.isDPoPNonceError(error)) throw error;
    nonces += 1;
    return ask();
  }
}

const resource = new URL(url);
const described = await oauth.processResourceDiscoveryResponse(resource, await oauth.resourceDiscoveryRequest(resource, plain));
const issuer = new URL(described.authorization_servers[0]);
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2', ...plain }));

let arrived;
const response = new Promise((resolve) => { arrived = resolve; });
const listener = createServer((request, answer) => { answer.end('You may close this window.'); arrived(new URL(request.url, 'http://127.0.0.1').searchParams); });
await new Promise((ready) => listener.listen(0, '127.0.0.1', ready));
const redirectUri = `http://127.0.0.1:${listener.address().port}/callback`;

const client = await oauth.processDynamicClientRegistrationResponse(await oauth.dynamicClientRegistrationRequest(as, {
  client_name: 'oauth4webapi', redirect_uris: [redirectUri], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none',
}, plain));
const DPoP = oauth.DPoP(client, await oauth.generateKeyPair(process.env.ALG ?? 'ES256'));
const proving = { DPoP, ...plain };

const verifier = oauth.generateRandomCodeVerifier(), state = oauth.generateRandomState();
const asked = new URLSearchParams({
  response_type: 'code', redirect_uri: redirectUri, scope: 'read', state, resource: resource.href,
  code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256',
});
const pushed = await withNonce(async () => oauth.processPushedAuthorizationResponse(as, client, await oauth.pushedAuthorizationRequest(as, client, oauth.None(), asked, proving)));
const browser = new URL(as.authorization_endpoint);
browser.searchParams.set('client_id', client.client_id);
browser.searchParams.set('request_uri', pushed.request_uri);
spawn(process.env.BROWSER, [browser.href], { stdio: 'ignore' });
const parameters = await Promise.race([response, new Promise((_, late) => setTimeout(() => late(new Error('no authorization response within 60 s')), 60_000).unref())]);
const callback = oauth.validateAuthResponse(as, client, parameters, state);
const first = await withNonce(async () => oauth.processAuthorizationCodeResponse(as, client, await oauth.authorizationCodeGrantRequest(as, client, oauth.None(), callback, redirectUri, verifier, proving)));
const second = await withNonce(async () => oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, oauth.None(), first.refresh_token, proving)));

const bearer = await fetch(resource, { method: 'POST', headers: { authorization: `Bearer ${second.access_token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' }, body: '{}' });

let session;
/** One message of JSON-RPC with a proof of its own; the answer is one document, or the last of a stream. */
async function call(message) {
  const headers = new Headers({ 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...(session && { 'mcp-session-id': session, 'mcp-protocol-version': '2025-11-25' }) });
  const answer = await withNonce(() => oauth.protectedResourceRequest(second.access_token, 'POST', resource, headers, JSON.stringify({ jsonrpc: '2.0', ...message }), proving));
  session ??= answer.headers.get('mcp-session-id');
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${answer.status} ${text}`);
  const data = text.split('\n').filter((line) => line.startsWith('data: {')).at(-1)?.slice(6) ?? text;
  return data ? JSON.parse(data).result : undefined;
}

await call({ id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'oauth4webapi', version: '3' } } });
await call({ method: 'notifications/initialized' });
const result = await call({ id: 2, method: 'tools/call', params: { name: tool, arguments: {} } });
process.stdout.write(`${JSON.stringify({
  clientId: client.client_id,
  tokenTypes: [first.token_type, second.token_type],
  scope: second.scope,
  nonces,
  bearer: [bearer.status, bearer.headers.get('www-authenticate')?.split(' ')[0]],
  isError: result.isError ?? false,
  text: result.content.filter((part) => part.type === 'text').map((part) => part.text).join('\n'),
})}\n`);
listener.close();
