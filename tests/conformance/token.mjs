// An OAuth client in a few lines: registration, the pages, the code, the token. No SDK, so that every step is seen.
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { browse, defaultFields } from './consent.mjs';

const REDIRECT = 'http://127.0.0.1/callback';
const json = async (response, status) => { assert.equal(response.status, status, await response.clone().text()); return response.json(); };

/** A token for `resource`, for the person `login`. Answers the access token and the client id. */
export async function authorize(issuer, resource, login = 'alice') {
  const metadata = await json(await fetch(`${issuer}/.well-known/oauth-authorization-server`), 200);
  const registered = await json(await fetch(metadata.registration_endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'conformance', redirect_uris: [REDIRECT], token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] }),
  }), 201);
  const verifier = randomBytes(32).toString('base64url'), state = randomBytes(16).toString('base64url');
  const asked = new URL(metadata.authorization_endpoint);
  asked.search = new URLSearchParams({
    response_type: 'code', client_id: registered.client_id, redirect_uri: REDIRECT, state, resource,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
  });
  const fields = new URLSearchParams(defaultFields.replaceAll('alice', login));
  const { url } = await browse(asked.href, { fields, fetchCallback: false });
  assert.equal(url.searchParams.get('state'), state, `no authorization response: ${url}`);
  const tokens = await json(await fetch(metadata.token_endpoint, {
    method: 'POST',
    body: new URLSearchParams({ grant_type: 'authorization_code', code: url.searchParams.get('code'), redirect_uri: REDIRECT, client_id: registered.client_id, code_verifier: verifier, resource }),
  }), 200);
  return { accessToken: tokens.access_token, refreshToken: tokens.refresh_token, clientId: registered.client_id };
}
