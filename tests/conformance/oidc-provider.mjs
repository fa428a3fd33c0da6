// A real OpenID provider (npm `oidc-provider`) to sign in with. Not ours, and not lenient.
//
//   PORT=0               the port; 0 takes a free one. The first line printed is `issuer <url>`
//   OIDC_CLIENT_ID=sekisho  OIDC_CLIENT_SECRET=…
//   OIDC_REDIRECT_URIS="http://localhost:8080/login/callback/oidc …"
//   OIDC_ACCOUNTS='{"alice":{"email":"alice@example.com","email_verified":true,"name":"Alice","groups":["engineering"]}}'
//
// The login page takes any password of an account listed; other logins are refused.
// Claims stand in the ID token as well as in userinfo (`groups` under the scope `groups` and `profile`).
import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const {
  PORT = '0', OIDC_CLIENT_ID = 'sekisho', OIDC_CLIENT_SECRET = 'a-secret-for-tests-only-0123456789abcdef',
  OIDC_REDIRECT_URIS = '', OIDC_ACCOUNTS,
} = process.env;

const accounts = new Map(Object.entries(OIDC_ACCOUNTS ? JSON.parse(OIDC_ACCOUNTS) : {
  alice: { email: 'alice@example.com', email_verified: true, name: 'Alice Tanaka', groups: ['engineering'] },
  bob: { email: 'bob@example.com', email_verified: true, name: 'Bob Sato', groups: ['sales'] },
}));

const server = createServer();
server.listen(Number(PORT), 'localhost', () => {
  const issuer = process.env.ISSUER ?? `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [{
      client_id: OIDC_CLIENT_ID,
      client_secret: OIDC_CLIENT_SECRET,
      redirect_uris: OIDC_REDIRECT_URIS.split(/\s+/).filter(Boolean),
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
    }],
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
  for (const name of ['server_error', 'authorization.error', 'grant.error', 'userinfo.error'])
    provider.on(name, (_context, error) => console.log(name, error?.message, error?.error_description ?? ''));
  server.on('request', provider.callback());
  console.log(`issuer ${issuer}`);
});
