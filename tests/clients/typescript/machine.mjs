// The TypeScript SDK's client as a machine: `io.modelcontextprotocol/oauth-client-credentials`, or with the JWT of a workload in
// place of a secret (SEP-1933), asked for as the client of the conformance suite's scenario `auth/wif-jwt-bearer` asks. No
// browser anywhere.
//
//   CLIENT_ID=… CLIENT_SECRET=…|PRIVATE_KEY=…|ASSERTION=… ISSUER=… node machine.mjs <mcp-url> <tool> [arguments as JSON]
//
// Prints one line of JSON with what it saw.
import { Client, ClientCredentialsProvider, PrivateKeyJwtProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, name, given = '{}'] = process.argv.slice(2);
const { CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, PRIVATE_KEY: privateKey, ASSERTION: assertion, ISSUER: expectedIssuer } = process.env;

/** Proves nothing about itself: what counts is in the assertion. It is sent once. */
class Workload {
  #tokens; #asked = false;
  redirectUrl = undefined;
  clientMetadata = { client_name: 'workload', redirect_uris: [], grant_types: ['urn:ietf:params:oauth:grant-type:jwt-bearer'], token_endpoint_auth_method: 'none' };
  clientInformation() { return { client_id: clientId }; }
  tokens() { return this.#tokens; }
  saveTokens(tokens) { this.#tokens = tokens; }
  redirectToAuthorization() { throw new Error('a browser is wanted'); }
  saveCodeVerifier() {}
  codeVerifier() { throw new Error('no code was asked for'); }
  prepareTokenRequest(scope) {
    if (this.#asked) throw new Error('the assertion was sent before');
    this.#asked = true;
    return new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion, ...(scope && { scope }) });
  }
}

const credentials = () => privateKey
  ? new PrivateKeyJwtProvider({ clientId, privateKey, algorithm: 'ES256', expectedIssuer })
  : new ClientCredentialsProvider({ clientId, clientSecret, expectedIssuer });
const provider = assertion ? new Workload() : credentials();
const client = new Client({ name: 'typescript-sdk-machine', version: '2.4.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider: provider }));
const { tools } = await client.listTools();
const result = await client.callTool({ name, arguments: JSON.parse(given) });
process.stdout.write(`${JSON.stringify({
  clientId,
  scope: provider.tokens().scope,
  refreshToken: Boolean(provider.tokens().refresh_token),
  tools: tools.map((one) => one.name),
  isError: result.isError ?? false,
  text: result.content.filter((part) => part.type === 'text').map((part) => part.text).join('\n'),
})}\n`);
process.exit(0);
