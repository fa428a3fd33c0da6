// Published MCP servers as they are, behind the gateway, each called by real clients: the reference server `everything` of the
// TypeScript SDK, and `excel-mcp-server` of the Python SDK. Nothing of them is changed, and they know nothing of Sekisho.
//
// People call tools that read and tools that write. A machine that may only read is shown what reads and refused what writes,
// and the refused call never reaches the MCP server: the workbook is not there.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from '../conformance/report.mjs';
import { freePort, serve, start, temporaryFolder } from '../conformance/sekisho.mjs';
import { attempt, node, python, run } from './program.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const SECRET = 'secret-of-the-reader';
const BOTH = ['2025-11-25', '2026-07-28'];

const PEOPLE = {
  typescript: node('typescript/client.mjs'),
  python: python('client.py'),
  rmcp: [process.env.CLIENT_RMCP],
  'mcp-remote': node('mcp-remote/client.mjs'),
};
// The programs that do without a browser: what comes before the name of the tool differs.
const MACHINES = {
  typescript: { program: node('typescript/machine.mjs'), first: [] },
  python: { program: python('extensions.py'), first: [] },
  rmcp: { program: [process.env.CLIENT_RMCP], first: ['2025-11-25'] },
  'mcp-remote': { program: node('mcp-remote/client.mjs'), first: ['2025-11-25'] },
};

const answers = async (url) => { try { await fetch(url); return true; } catch { return false; } };
const log = (name) => path.join(temporaryFolder(name), 'log');

async function everything() {
  const port = await freePort();
  const program = path.join(here, 'node_modules/@modelcontextprotocol/server-everything/dist/index.js');
  await start(process.execPath, [program, 'streamableHttp'], { env: { PORT: String(port) }, ready: /listening on port (\d+)/, log: log('everything') });
  return `http://127.0.0.1:${port}/mcp`;
}

async function excel(folder) {
  const url = `http://127.0.0.1:${await freePort()}/mcp`;
  const program = path.join(path.dirname(process.env.PYTHON), 'excel-mcp-server');
  const given = ['streamable-http', '--host', '127.0.0.1', '--port', new URL(url).port, '--allow-dir', folder];
  // It reads a large library before it listens.
  await start(program, given, { probe: () => answers(url), log: log('excel'), patience: 90_000 });
  return url;
}

const sections = (servers) => `[[identity_provider]]
id = "development"
kind = "development"

[[client]]
client_id = "reader"
secret_command = ["printf", "${SECRET}"]

[[service_account]]
name = "report"
title = "Reports"
clients = ["reader"]
${Object.entries(servers).map(([name, url]) => `
[[mcp_server]]
name = "${name}"
url = "${url}"
access = ["group:engineering", "service-account:report:read"]
`).join('')}`;

/** What must be true of a person's call. */
function judge(seen, revision, wanted) {
  if ('protocolVersion' in seen) assert.equal(seen.protocolVersion, revision);
  assert.equal(seen.isError, false, seen.text);
  assert.equal(seen.authorizations, 1, 'the person was sent to the browser once');
  for (const tool of [...wanted.reads, ...wanted.writes]) assert.ok(seen.tools.includes(tool), `${tool} is missing among ${seen.tools}`);
  assert.match(seen.text, wanted.answer);
}

/** The audit tells that a call of this tool was refused, and of none that went through. It is written a moment later. */
async function judgeRefusal(sekisho, server, tool) {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const events = (await sekisho.audit()).filter((event) => event.server === server && event.detail?.name === tool);
    const mine = events.filter((event) => event.client_id === 'reader');
    if (mine.some((event) => event.kind === 'call_refused')) {
      assert.deepEqual(mine.filter((event) => event.kind !== 'call_refused'), [], 'the call went through');
      return;
    }
    assert.ok(Date.now() < deadline, `no refused call of ${tool} in the audit, but ${JSON.stringify(events)}`);
    await new Promise((wake) => setTimeout(wake, 100));
  }
}

export async function withPublishedServers() {
  const folder = temporaryFolder('workbooks');
  const kept = path.join(folder, 'kept.xlsx');
  const sekisho = await serve('published', sections({ notes: await everything(), excel: await excel(folder) }));
  const servers = {
    // The first line of the SDK: it has no revision without sessions.
    notes: {
      revisions: ['2025-11-25'], reads: ['echo', 'get-sum'], writes: ['toggle-simulated-logging', 'gzip-file-as-resource'],
      call: ['get-sum', { a: 40, b: 2 }], answer: /\b42\b/, denied: () => ['toggle-simulated-logging', {}],
    },
    excel: {
      revisions: BOTH, reads: ['describe_workbook', 'read_range'], writes: ['create_workbook', 'write_range'],
      call: ['describe_workbook', { path: kept }], answer: /Sheet/, denied: (name) => ['create_workbook', { path: path.join(folder, `${name}.xlsx`) }],
    },
  };
  await test('a person has excel-mcp-server write a workbook, typescript', async () => {
    const seen = await run(PEOPLE.typescript, [`${sekisho.url}/excel/mcp`, '2026-07-28', 'create_workbook', JSON.stringify({ path: kept })]);
    judge(seen, '2026-07-28', { ...servers.excel, answer: /kept\.xlsx/ });
    assert.ok(fs.existsSync(kept), 'the workbook is there');
  });
  for (const [server, wanted] of Object.entries(servers))
    for (const [name, program] of Object.entries(PEOPLE))
      for (const revision of wanted.revisions)
        await test(`${name} ${revision} calls ${wanted.call[0]} of a published MCP server (${server})`, async () => {
          const [tool, given] = wanted.call;
          judge(await run(program, [`${sekisho.url}/${server}/mcp`, revision, tool, JSON.stringify(given)]), revision, wanted);
        });
  const machine = { CLIENT_ID: 'reader', CLIENT_SECRET: SECRET, ISSUER: sekisho.url };
  for (const [server, wanted] of Object.entries(servers))
    for (const [name, { program, first }] of Object.entries(MACHINES))
      await test(`${name} as a machine may read and not write at a published MCP server (${server})`, async () => {
        const ask = (tool, given) => attempt(program, [`${sekisho.url}/${server}/mcp`, ...first, tool, JSON.stringify(given)], machine);
        const read = await ask(...wanted.call);
        assert.ok(read.seen && read.seen.isError === false, read.complaint);
        assert.match(read.seen.text, wanted.answer);
        // Filtered by what the machine may call at all: the same list that people saw whole.
        for (const tool of wanted.reads) assert.ok(read.seen.tools.includes(tool), `${tool} is missing among ${read.seen.tools}`);
        for (const tool of wanted.writes) assert.ok(!read.seen.tools.includes(tool), `${tool} is shown to whom it is refused`);
        const [tool, given] = wanted.denied(name);
        const refused = await ask(tool, given);
        assert.ok(!refused.seen || refused.seen.isError, `the call went through: ${JSON.stringify(refused.seen)}`);
        await judgeRefusal(sekisho, server, tool);
        if (given.path) assert.ok(!fs.existsSync(given.path), 'the MCP server heard nothing of the call');
      });
}
