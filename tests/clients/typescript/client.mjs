// The TypeScript SDK's client, headless: discovers, registers, lets a browser consent, calls one tool.
//
//   BROWSER=… node client.mjs <mcp-url> <2025-11-25|2026-07-28> [tool] [arguments as JSON]
//
// Prints one line of JSON with what it saw. The exit code says whether it worked.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client';

const [url, revision, tool, given = '{}'] = process.argv.slice(2);
const MODES = { '2025-11-25': 'legacy', '2026-07-28': { pin: '2026-07-28' } };
if (!url || !MODES[revision]) throw new Error('usage: client.mjs <mcp-url> <2025-11-25|2026-07-28> [tool] [arguments]');

/** Waits on a loopback port of its own for the authorization response. */
async function callbackListener() {
  let arrived;
  const response = new Promise((resolve) => { arrived = resolve; });
  const server = createServer((request, answer) => {
    const { pathname, searchParams } = new URL(request.url, 'http://127.0.0.1');
    if (pathname !== '/callback') { answer.writeHead(404).end(); return; }
    answer.end('You may close this window.');
    arrived(searchParams);
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return { redirectUrl: `http://127.0.0.1:${server.address().port}/callback`, response, close: () => server.close() };
}

/** Keeps everything in memory; one run, one registration. */
class Provider {
  #client; #tokens; #verifier; #discovery;
  authorizations = 0;
  constructor(redirectUrl) { this.redirectUrl = redirectUrl; this.expectedState = randomBytes(16).toString('base64url'); }
  get clientMetadata() {
    return { client_name: `TypeScript SDK ${revision}`, redirect_uris: [this.redirectUrl], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none' };
  }
  get clientMetadataUrl() { return process.env.CLIENT_METADATA_URL || undefined; }
  state() { return this.expectedState; }
  clientInformation() { return this.#client; }
  saveClientInformation(client) { this.#client = client; }
  tokens() { return this.#tokens; }
  saveTokens(tokens) { this.#tokens = tokens; }
  saveCodeVerifier(verifier) { this.#verifier = verifier; }
  codeVerifier() { return this.#verifier; }
  saveDiscoveryState(state) { this.#discovery = state; }
  discoveryState() { return this.#discovery; }
  redirectToAuthorization(authorizationUrl) {
    this.authorizations += 1;
    spawn(process.env.BROWSER, [authorizationUrl.href], { stdio: 'ignore' });
  }
}

const listener = await callbackListener();
const provider = new Provider(listener.redirectUrl);
const connect = async () => {
  const client = new Client({ name: 'typescript-sdk', version: '2.4.0' }, { versionNegotiation: { mode: MODES[revision] } });
  const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
  try { await client.connect(transport); return { client, transport }; } catch (error) {
    if (!(error instanceof UnauthorizedError)) throw error;
    const parameters = await Promise.race([listener.response, new Promise((_, late) => setTimeout(() => late(new Error('no authorization response within 60 s')), 60_000).unref())]);
    if (parameters.get('state') !== provider.expectedState) throw new Error('the state came back changed');
    await transport.finishAuth(parameters);
    return undefined;
  }
};
const { client, transport } = (await connect()) ?? (await connect());
const { tools } = await client.listTools();
const name = tool ?? tools[0].name;
const result = await client.callTool({ name, arguments: JSON.parse(given) });
process.stdout.write(`${JSON.stringify({
  sdk: 'typescript',
  protocolVersion: client.getNegotiatedProtocolVersion(),
  clientId: provider.clientInformation().client_id,
  scope: provider.tokens().scope,
  refreshToken: Boolean(provider.tokens().refresh_token),
  authorizations: provider.authorizations,
  tools: tools.map((one) => one.name),
  tool: name,
  isError: result.isError ?? false,
  text: result.content.filter((part) => part.type === 'text').map((part) => part.text).join('\n'),
})}\n`);
await transport.terminateSession?.().catch((error) => process.stderr.write(`${error.message}\n`));
await client.close();
listener.close();
