// A client of the TypeScript SDK's first line, headless: discovers, registers, lets a browser consent, calls one tool.
//
//   SDK=@modelcontextprotocol/sdk BROWSER=… node client.mjs <mcp-url> <revision> [tool] [arguments as JSON]
//
// `SDK` is the package: the newest of the line, or `sdk-1.17`, an old one that is still installed everywhere. Neither says its
// `application_type`; the old one asks for no scope. Which revision is spoken is the SDK's own choice, and is printed.
// Prints one line of JSON with what it saw. The exit code says whether it worked.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

const [url, revision, tool, given = '{}'] = process.argv.slice(2);
const sdk = process.env.SDK;
const { Client } = await import(`${sdk}/client/index.js`);
const { StreamableHTTPClientTransport } = await import(`${sdk}/client/streamableHttp.js`);
const { UnauthorizedError } = await import(`${sdk}/client/auth.js`);

/** Waits on a loopback port of its own for the authorization response. */
async function callbackListener() {
  let arrived;
  const response = new Promise((resolve) => { arrived = resolve; });
  const server = createServer((request, answer) => {
    const { pathname, searchParams } = new URL(request.url, 'http://localhost');
    if (pathname !== '/callback') { answer.writeHead(404).end(); return; }
    answer.end('You may close this window.');
    arrived(searchParams);
  });
  await new Promise((ready) => server.listen(0, 'localhost', ready));
  return { redirectUrl: `http://localhost:${server.address().port}/callback`, response, close: () => server.close() };
}

/** Keeps everything in memory; one run, one registration. */
class Provider {
  #client; #tokens; #verifier;
  authorizations = 0;
  saved = 0;
  constructor(redirectUrl) { this.redirectUrl = redirectUrl; this.expectedState = randomBytes(16).toString('base64url'); }
  get clientMetadata() {
    return { client_name: `TypeScript SDK ${sdk}`, redirect_uris: [this.redirectUrl], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none' };
  }
  state() { return this.expectedState; }
  clientInformation() { return this.#client; }
  saveClientInformation(client) { this.#client = client; }
  tokens() { return this.#tokens; }
  saveTokens(tokens) { this.saved += 1; this.#tokens = tokens; }
  saveCodeVerifier(verifier) { this.#verifier = verifier; }
  codeVerifier() { return this.#verifier; }
  redirectToAuthorization(authorizationUrl) {
    this.authorizations += 1;
    this.asked = authorizationUrl.searchParams.get('scope');
    spawn(process.env.BROWSER, [authorizationUrl.href], { stdio: 'ignore' });
  }
  /** The access token is worth nothing any more; the refresh token is. */
  spoil() { this.#tokens = { ...this.#tokens, access_token: 'expired' }; }
}

const listener = await callbackListener();
const provider = new Provider(listener.redirectUrl);
const connect = async () => {
  const client = new Client({ name: 'typescript-sdk', version: '1' });
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  try { await client.connect(transport); return { client, transport }; } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    const parameters = await Promise.race([listener.response, new Promise((_, late) => setTimeout(() => late(new Error('no authorization response within 60 s')), 60_000).unref())]);
    if (parameters.get('state') !== provider.expectedState) throw new Error('the state came back changed');
    await transport.finishAuth(parameters.get('code'));
    return undefined;
  }
};
const { client, transport } = (await connect()) ?? (await connect());
const { tools } = await client.listTools();
const name = tool ?? tools[0].name;
const before = provider.saved;
provider.spoil();
const result = await client.callTool({ name, arguments: JSON.parse(given) });
process.stdout.write(`${JSON.stringify({
  sdk, asked: provider.asked, revision,
  protocolVersion: transport.protocolVersion,
  clientId: provider.clientInformation().client_id,
  scope: provider.tokens().scope,
  refreshToken: Boolean(provider.tokens().refresh_token),
  refreshes: provider.saved - before,
  authorizations: provider.authorizations,
  tools: tools.map((one) => one.name),
  tool: name,
  isError: result.isError ?? false,
  text: result.content.filter((part) => part.type === 'text').map((part) => part.text).join('\n'),
})}\n`);
await transport.terminateSession();
await client.close();
listener.close();
