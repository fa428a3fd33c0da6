// What the OpenID provider adds for enterprise-managed authorization: a token exchange (RFC 8693) of an ID token, of the
// client that it was issued to, for an ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant, section 4.3).
//
// The administrator's part is `connections`: at which authorization server (`audience`) the client is who, and which scopes it
// may have there. Whatever is not written there is refused.
import { randomUUID } from 'node:crypto';
import { errors } from 'oidc-provider';
import { createLocalJWKSet, importJWK, jwtVerify, SignJWT } from 'jose';

const TOKEN_EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const ID_JAG = 'urn:ietf:params:oauth:token-type:id-jag';
const ID_TOKEN = 'urn:ietf:params:oauth:token-type:id_token';
const PARAMETERS = ['requested_token_type', 'subject_token', 'subject_token_type', 'audience', 'resource', 'scope'];

/** Teaches `provider` the exchange. `key` is its signing key as a private JWK with `kid` and `alg`. */
export async function issueIdJags(provider, key, connections) {
  const signing = await importJWK(key, key.alg);
  const { kty, n, e, kid, alg } = key;
  const known = createLocalJWKSet({ keys: [{ kty, n, e, kid, alg }] });
  provider.registerGrantType(TOKEN_EXCHANGE, async (context) => {
    const { client, params } = context.oidc;
    if (params.requested_token_type !== ID_JAG || params.subject_token_type !== ID_TOKEN) throw new errors.InvalidRequest('only an ID token is exchanged, and only for an ID-JAG');
    const connection = connections.find((one) => one.client === client.clientId && one.audience === params.audience);
    if (!connection) throw new errors.InvalidTarget('the administrator has not connected this client with that audience');
    const { payload } = await jwtVerify(params.subject_token ?? '', known, { issuer: provider.issuer, audience: client.clientId })
      .catch(() => { throw new errors.InvalidGrant('the ID token is not good'); });
    const asked = params.scope?.split(' ') ?? connection.scopes;
    const scope = asked.filter((one) => connection.scopes.includes(one)).join(' ');
    const assertion = await new SignJWT({ client_id: connection.client_id, resource: params.resource, scope })
      .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: 'oauth-id-jag+jwt' })
      .setIssuer(provider.issuer).setSubject(payload.sub).setAudience(params.audience).setJti(randomUUID())
      .setIssuedAt().setExpirationTime('5m').sign(signing);
    context.body = { issued_token_type: ID_JAG, access_token: assertion, token_type: 'N_A', expires_in: 300, scope };
  }, PARAMETERS);
}
