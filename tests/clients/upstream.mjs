// An MCP server of the TypeScript SDK to stand behind the gateway: both revisions on one URL, with sessions for the older.
//
//   SEKISHO=http://localhost:8080 node upstream.mjs       the first line printed is `listening <mcp-url>`
//
// It knows of Sekisho what the manual tells the author of an MCP server: the identity assertion stands in the header
// `Sekisho-Identity` and is checked with the JWKS by a stock library. `whoami` answers with its claims, the revision, and the names
// of those headers that a gateway must not let through, so that what the MCP server gets can be read from a tool result.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { NodeStreamableHTTPServerTransport, toNodeHandler, toWebRequest } from '@modelcontextprotocol/node';
import { createMcpHandler, isInitializeRequest, isLegacyRequest, McpServer } from '@modelcontextprotocol/server';

const FORBIDDEN = ['authorization', 'cookie', 'dpop', 'x-forwarded-user', 'x-mcp-user', 'x-vault-token'];
const issuer = process.env.SEKISHO;
const keys = createRemoteJWKSet(new URL('/oauth/jwks', issuer));
const address = () => `http://127.0.0.1:${listener.address().port}/mcp`;

/** What the MCP server sees of who is calling. */
async function seen(headers) {
  const { payload } = await jwtVerify(headers.get('sekisho-identity') ?? '', keys, { issuer, audience: address(), algorithms: ['ES256'] });
  return { claims: payload, version: headers.get('mcp-protocol-version'), leaked: FORBIDDEN.filter((name) => headers.has(name)) };
}

function server() {
  const mcp = new McpServer({ name: 'upstream', version: '1.0.0' });
  mcp.registerTool('whoami', { description: 'Says who the gateway says is calling.', annotations: { readOnlyHint: true } },
    async (context) => ({ content: [{ type: 'text', text: JSON.stringify(await seen(context.http.req.headers)) }] }));
  mcp.registerTool('keep', { description: 'Keeps a note (it forgets at once).' }, () => ({ content: [{ type: 'text', text: 'kept' }] }));
  return mcp;
}

const modern = toNodeHandler(createMcpHandler(server, { legacy: 'reject' }));
const sessions = new Map();

async function legacy(request, answer, body) {
  const known = sessions.get(request.headers['mcp-session-id']);
  if (known) return known.handleRequest(request, answer, body);
  if (request.headers['mcp-session-id']) return answer.writeHead(404).end();
  if (!isInitializeRequest(body)) return answer.writeHead(400).end();
  const transport = new NodeStreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (id) => sessions.set(id, transport), onsessionclosed: (id) => sessions.delete(id) });
  await server().connect(transport);
  return transport.handleRequest(request, answer, body);
}

const listener = createServer(async (request, answer) => {
  try {
    if (new URL(request.url, 'http://localhost').pathname !== '/mcp') { answer.writeHead(404).end(); return; }
    let body;
    if (request.method === 'POST') {
      const chunks = [];
      for await (const chunk of request) chunks.push(chunk);
      body = JSON.parse(Buffer.concat(chunks));
    }
    const old = request.method !== 'POST' || (await isLegacyRequest(await toWebRequest(request, body), body));
    await (old ? legacy(request, answer, body) : modern(request, answer, body));
  } catch (error) {
    process.stderr.write(`upstream: ${error.stack}\n`);
    if (!answer.headersSent) answer.writeHead(500);
    answer.end();
  }
});
listener.listen(0, '127.0.0.1', () => process.stdout.write(`listening ${address()}\n`));
