// The TypeScript SDK's client where the organisation decides: `io.modelcontextprotocol/enterprise-managed-authorization`. It has
// an ID token of the identity provider, exchanges it there for an ID-JAG and that at the authorization server of the MCP server.
//
//   CLIENT_ID=… CLIENT_SECRET=… ISSUER=… IDP=… IDP_CLIENT_ID=… IDP_CLIENT_SECRET=… ID_TOKEN=… node enterprise.mjs <mcp-url> <tool>
//
// Prints one line of JSON with what it saw.
import { Client, CrossAppAccessProvider, discoverAndRequestJwtAuthGrant, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, name] = process.argv.slice(2);
const { CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, ISSUER: expectedIssuer, IDP: idpUrl, IDP_CLIENT_ID, IDP_CLIENT_SECRET, ID_TOKEN: idToken } = process.env;
const provider = new CrossAppAccessProvider({
  clientId, clientSecret, expectedIssuer,
  assertion: async ({ authorizationServerUrl, resourceUrl, scope, fetchFn }) => (await discoverAndRequestJwtAuthGrant({
    idpUrl, audience: authorizationServerUrl, resource: resourceUrl, idToken, clientId: IDP_CLIENT_ID, clientSecret: IDP_CLIENT_SECRET, scope, fetchFn,
  })).jwtAuthGrant,
});
const client = new Client({ name: 'typescript-sdk-enterprise', version: '2.4.0' });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider: provider }));
const { tools } = await client.listTools();
const result = await client.callTool({ name, arguments: {} });
process.stdout.write(`${JSON.stringify({
  clientId,
  scope: provider.tokens().scope,
  refreshToken: Boolean(provider.tokens().refresh_token),
  tools: tools.map((one) => one.name),
  isError: result.isError ?? false,
  text: result.content.filter((part) => part.type === 'text').map((part) => part.text).join('\n'),
})}\n`);
process.exit(0);
