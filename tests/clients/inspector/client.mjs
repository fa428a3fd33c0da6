// The MCP Inspector's command line, headless: registers, lets a browser consent, lists the tools, and calls one in a second run
// with the token that the first one stored.
//
//   BROWSER=… node client.mjs <mcp-url> <2025-11-25|2026-07-28> [tool] [arguments as JSON]
//
// Prints one line of JSON with what it saw. It does not say which revision it spoke. The exit code says whether it worked.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const [url, revision, tool, given = '{}'] = process.argv.slice(2);
const era = { '2025-11-25': 'legacy', '2026-07-28': 'modern' }[revision];
const program = path.join(path.dirname(fileURLToPath(import.meta.url)), '../node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js');
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'sekisho-inspector-'));
const port = await new Promise((resolve) => { const server = net.createServer().listen(0, '127.0.0.1', () => { const { port } = server.address(); server.close(() => resolve(port)); }); });

/** Runs it once. Answers what it printed, and what it said beside. */
async function inspector(...words) {
  const child = spawn(process.execPath, [program, '--cli', '--server-url', url, '--transport', 'http', '--protocol-era', era, '--format', 'json', '--quiet', '--callback-url', `http://127.0.0.1:${port}/oauth/callback`, ...words], {
    env: { ...process.env, HOME: home, MCP_STORAGE_DIR: home, MCP_INSPECTOR_SECRET_STORE: 'file', MCP_AUTO_OPEN_ENABLED: 'true' }, stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '', beside = '';
  child.stdout.on('data', (chunk) => { out += chunk; });
  child.stderr.on('data', (chunk) => { beside += chunk; });
  const code = await new Promise((gone) => child.once('close', gone));
  if (code !== 0) throw new Error(`inspector ${words.join(' ')} ended with ${code}:\n${beside}`);
  return { result: JSON.parse(out).result, beside };
}

try {
  const first = await inspector('--method', 'tools/list');
  const addresses = [...first.beside.matchAll(/https?:\/\/\S*response_type=code\S*/g)].map(([found]) => new URL(found));
  const tools = first.result.tools.map((one) => one.name), name = tool ?? tools[0];
  const second = await inspector('--method', 'tools/call', '--tool-name', name, '--tool-args-json', given, '--stored-auth-only');
  process.stdout.write(`${JSON.stringify({
    sdk: 'inspector',
    clientId: addresses[0]?.searchParams.get('client_id'),
    refreshToken: fs.readFileSync(path.join(home, 'secrets.json'), 'utf8').includes('refresh_token'),
    authorizations: addresses.length,
    tools,
    tool: name,
    isError: second.result.isError ?? false,
    text: second.result.content.filter((part) => part.type === 'text').map((part) => part.text).join('\n'),
  })}\n`);
} finally {
  fs.rmSync(home, { recursive: true, force: true });
}
