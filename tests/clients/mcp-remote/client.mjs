// `mcp-remote`, the bridge for clients that only speak stdio, headless: a client in a few lines speaks to its stdin.
//
//   BROWSER=… node client.mjs <mcp-url> <2025-11-25|2026-07-28> [tool] [arguments as JSON]
//
// With CLIENT_ID and CLIENT_SECRET it is a machine (client credentials); with DEVICE, a client_id, the person approves elsewhere
// (device authorization): what BROWSER opens is what the bridge prints.
//
// The revision is the one between bridge and server; on stdio it is 2025-11-25. Prints one line of JSON with what it saw. The exit
// code says whether it worked.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const [url, revision, tool, given = '{}'] = process.argv.slice(2);
const program = path.join(path.dirname(fileURLToPath(import.meta.url)), '../node_modules/mcp-remote/dist/proxy.js');
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'sekisho-bridge-'));
const { CLIENT_ID, CLIENT_SECRET, DEVICE } = process.env;
const known = (client) => ['--static-oauth-client-info', JSON.stringify(client)];
const way = CLIENT_ID ? ['--client-credentials', ...known({ client_id: CLIENT_ID, client_secret: CLIENT_SECRET })]
  : DEVICE ? ['--device-code', ...known({ client_id: DEVICE })] : [];
const modern = revision === '2026-07-28' ? ['--protocol', 'auto'] : [];
const bridge = spawn(process.execPath, [program, url, ...modern, ...way], { env: { ...process.env, HOME: home, MCP_REMOTE_CONFIG_DIR: home }, stdio: ['pipe', 'pipe', 'pipe'] });

let said = '', last = 0;
const waiting = new Map();
let approved = !DEVICE;
bridge.stderr.on('data', (chunk) => {
  said += chunk;
  // Our answer has `verification_uri_complete`: the code stands in the link, and the person compares it.
  const page = said.match(/visit:\s*.*?(https?:\S+user_code=\S+)/)?.[1];
  if (approved || !page) return;
  approved = true;
  spawn(process.env.BROWSER, [page], { stdio: 'ignore' });
});
createInterface({ input: bridge.stdout }).on('line', (line) => {
  const { id, result, error } = JSON.parse(line);
  const asked = waiting.get(id);
  waiting.delete(id);
  if (error) asked?.reject(new Error(JSON.stringify(error))); else asked?.resolve(result);
});
const gone = new Promise((resolve) => bridge.once('exit', resolve));
gone.then((code) => { for (const { reject } of waiting.values()) reject(new Error(`mcp-remote ended with ${code}:\n${said}`)); });

const send = (message) => bridge.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const request = (method, params) => new Promise((resolve, reject) => { last += 1; waiting.set(last, { resolve, reject }); send({ id: last, method, params }); });
/** Everything that the bridge keeps, as one text: it names the files after the server. */
const kept = () => fs.readdirSync(home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).map((entry) => fs.readFileSync(path.join(entry.parentPath, entry.name), 'utf8')).join('\n');

try {
  await request('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'stdio', version: '1' } });
  send({ method: 'notifications/initialized' });
  const { tools } = await request('tools/list', {});
  const name = tool ?? tools[0].name;
  const result = await request('tools/call', { name, arguments: JSON.parse(given) });
  process.stdout.write(`${JSON.stringify({
    sdk: 'mcp-remote',
    clientId: kept().match(/"client_id":\s*"([^"]+)"/)?.[1],
    refreshToken: kept().includes('"refresh_token":'),
    authorizations: (said.match(/response_type=code/g) ?? []).length,
    tools: tools.map((one) => one.name),
    tool: name,
    isError: result.isError ?? false,
    text: result.content.filter((part) => part.type === 'text').map((part) => part.text).join('\n'),
  })}\n`);
} finally {
  bridge.stdin.end();
  const late = setTimeout(() => bridge.kill(), 3_000);
  await gone;
  clearTimeout(late);
  fs.rmSync(home, { recursive: true, force: true });
}
