// The TypeScript SDK's client as a machine: `io.modelcontextprotocol/oauth-client-credentials`, no browser anywhere.
//
//   CLIENT_ID=… CLIENT_SECRET=…|PRIVATE_KEY=… ISSUER=… node machine.mjs <mcp-url> <tool>
//
// Prints one line of JSON with what it saw.
import { Client, ClientCredentialsProvider, PrivateKeyJwtProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, name] = process.argv.slice(2);
const { CLIENT_ID: clientId, CLIENT_SECRET: clientSecret, PRIVATE_KEY: privateKey, ISSUER: expectedIssuer } = process.env;
const provider = privateKey
  ? new PrivateKeyJwtProvider({ clientId, privateKey, algorithm: 'ES256', expectedIssuer })
  : new ClientCredentialsProvider({ clientId, clientSecret, expectedIssuer });
const client = new Client({ name: 'typescript-sdk-machine', version: '2.4.0' });
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
