// A real OpenID provider (npm `oidc-provider`) to sign in with. Not ours, and not lenient.
//
//   PORT=0               the port; 0 takes a free one. The first line printed is `issuer <url>`
//   OIDC_CLIENT_ID=sekisho  OIDC_CLIENT_SECRET=…
//   OIDC_REDIRECT_URIS="http://localhost:8080/login/callback/oidc …"
//   OIDC_ACCOUNTS='{"alice":{"email":"alice@example.com","email_verified":true,"name":"Alice","groups":["engineering"]}}'
//   OIDC_AGENT='{"client_id":"agent","redirect_uri":"http://localhost/…","connections":[…]}'   a client that exchanges its ID token for
//                        an ID-JAG (id-jag.mjs); its secret is OIDC_CLIENT_SECRET too
//
// The login page takes any password of an account listed; other logins are refused.
// Claims stand in the ID token as well as in userinfo (`groups` under the scope `groups` and `profile`).
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import Provider from 'oidc-provider';
import { issueIdJags } from './id-jag.mjs';

const {
  PORT = '0', OIDC_CLIENT_ID = 'sekisho', OIDC_CLIENT_SECRET = 'a-secret-for-tests-only-0123456789abcdef',
  OIDC_REDIRECT_URIS = '', OIDC_ACCOUNTS, OIDC_AGENT,
} = process.env;

const accounts = new Map(Object.entries(OIDC_ACCOUNTS ? JSON.parse(OIDC_ACCOUNTS) : {
  alice: { email: 'alice@example.com', email_verified: true, name: 'Alice Tanaka', groups: ['engineering'] },
  bob: { email: 'bob@example.com', email_verified: true, name: 'Bob Sato', groups: ['sales'] },
}));

const agent = OIDC_AGENT && JSON.parse(OIDC_AGENT);
const key = { ...generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey.export({ format: 'jwk' }), kid: 'a', alg: 'RS256', use: 'sig' };

const server = createServer();
server.listen(Number(PORT), 'localhost', async () => {
  const issuer = process.env.ISSUER ?? `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: OIDC_CLIENT_ID,
      client_secret: OIDC_CLIENT_SECRET,
      redirect_uris: OIDC_REDIRECT_URIS.split(/\s+/).filter(Boolean),
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
    }, ...(agent ? [{
      client_id: agent.client_id,
      client_secret: OIDC_CLIENT_SECRET,
      redirect_uris: [agent.redirect_uri],
      grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:token-exchange'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_post',
    }] : [])],
    jwks: { keys: [key] },
    scopes: ['openid', 'offline_access'],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'], groups: ['groups'] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    cookies: { keys: ['signs the cookies of a test'] },
    features: { devInteractions: { enabled: true } },
    ttl: { AccessToken: 600, AuthorizationCode: 60, Grant: 3600, IdToken: 600, Interaction: 600, Session: 3600, RefreshToken: 3600 },
    findAccount: (_context, id) => {
      const account = accounts.get(id);
      return account && { accountId: id, claims: () => ({ sub: id, ...account }) };
    },
  });
  if (agent) await issueIdJags(provider, key, agent.connections.map((one) => ({ client: agent.client_id, ...one })));
  for (const name of ['server_error', 'authorization.error', 'grant.error', 'userinfo.error'])
    provider.on(name, (_context, error) => console.log(name, error?.message, error?.error_description ?? ''));
  server.on('request', provider.callback());
  console.log(`issuer ${issuer}`);
});
