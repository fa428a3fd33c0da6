// The server mode of the MCP conformance suite: against the fixture alone, and against the built binary with the fixture behind it.
//
//   SEKISHO_BIN=…/sekisho CONFORMANCE_SERVER=…/mcp_conformance_server node server.mjs
//
// The direct run must pass: it says what the fixture can. The run through the gateway must come to the same verdict on every
// check, with policies that are asked about every call and every entry of a list, with tools that count only as they were
// accepted (`tools = "approve"`), and with the audit. The suite has no authorization: a token is obtained as a client would (registration, the pages, the code), and `bearer-shim.mjs` in front of
// the gateway adds it to every request.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { differences, ofStatus, resultsIn } from './compare.mjs';
import { finish, test } from './report.mjs';
import { resumption } from './resumption.mjs';
import { binary, freePort, serve, start, temporaryFolder } from './sekisho.mjs';
import { authorize } from './token.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const log = (name) => path.join(temporaryFolder(name), 'log');

// Not scored by the suite, and required here all the same.
const REQUIRED_TOO = {
  '2026-07-28': ['http-header-validation', 'http-custom-header-server-validation', 'json-schema-2020-12', 'tasks-lifecycle'],
  '2025-11-25': ['server-session-lifecycle', 'server-sse-polling', 'json-schema-2020-12'],
};

/** One run of the suite. Answers its exit code, its words and its checks by scenario. */
async function suite(url, ...words) {
  const folder = temporaryFolder('server');
  const child = spawn(process.execPath, [path.join(here, 'node_modules/@modelcontextprotocol/conformance/dist/index.js'), 'server', '--url', url, '-o', folder, ...words], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { said += chunk; });
  const late = setTimeout(() => child.kill('SIGKILL'), 180_000);
  const code = await new Promise((gone) => child.once('close', gone));
  clearTimeout(late);
  return { code, said, results: resultsIn(folder) };
}

const tail = (said) => said.split('\n').slice(-60).join('\n');

/** Exit 0 would do for the suite, which scores only some scenarios and no warning. The fixture fails and warns of nothing. */
function judge({ code, said, results }, expected = []) {
  assert.equal(code, 0, tail(said));
  assert.deepEqual(ofStatus(results, 'FAILURE', 'WARNING'), [], tail(said));
  for (const scenario of expected)
    assert.ok(results.get(scenario)?.some((check) => check.status === 'SUCCESS'), `${scenario} was not run\n${tail(said)}`);
}

/** Runs the suite on both and holds the verdicts against each other. */
async function same(places, words, expected) {
  const direct = await suite(places.direct, ...words);
  judge(direct, expected);
  const through = await suite(places.through, ...words);
  assert.deepEqual(differences(direct.results, through.results), [], 'the gateway changed a verdict');
  judge(through, expected);
}

// Asked about everything, by its arguments and the time; true of nothing that the suite does.
const POLICIES = `@id("not-this")
forbid (principal, action in [Action::"call", Action::"get", Action::"list", Action::"read", Action::"other"], resource in McpServer::"notes")
when { context.time < datetime("2020-01-01") };

@id("no-force")
forbid (principal, action == Action::"call", resource in McpServer::"notes")
when { context.arguments has force };
`;

/** What tools are listed there. */
async function tools(url, accessToken) {
  const answer = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list',
      ...(accessToken ? { authorization: `Bearer ${accessToken}` } : {}),
    },
    body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: {
      'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {}, 'io.modelcontextprotocol/clientInfo': { name: 'conformance', version: '1' },
    } } }),
  });
  const text = await answer.text();
  const data = text.startsWith('{') ? text : text.match(/^data: ?(.*)$/m)?.[1];
  const names = JSON.parse(data ?? 'null')?.result?.tools?.map((tool) => tool.name);
  assert.ok(names, `no list: ${answer.status} ${text}`);
  return names.sort();
}

/** First contact: nothing is shown before somebody has accepted it; then everything is, at once. */
async function accept({ direct, endpoint, accessToken, config }) {
  const all = await tools(direct);
  assert.deepEqual(await tools(endpoint, accessToken), [], 'what nobody accepted is shown');
  const until = async (what, isSo) => {
    const deadline = Date.now() + 15_000;
    while (!(await isSo())) {
      assert.ok(Date.now() < deadline, what);
      await new Promise((wake) => setTimeout(wake, 100));
    }
  };
  const command = (...words) => execFileSync(binary(), ['tools', ...words, '--config', config], { encoding: 'utf8' });
  await until('the definitions are not known', () => all.every((name) => command('list').includes(name)));
  command('accept', 'notes', '--all');
  await until('what was accepted is not shown', async () => (await tools(endpoint, accessToken)).join() === all.join());
}

/** The fixture, and the gateway before it with the shim before that. */
async function places() {
  const fixture = await start(process.env.CONFORMANCE_SERVER, [], { ready: /^listening (\S+)/m, log: log('fixture') });
  const port = await freePort(), sekisho = `http://localhost:${port}`;
  const running = await serve('server', `[[identity_provider]]
id = "development"
kind = "development"

[[mcp_server]]
name = "notes"
url = "${fixture.said}"
access = "everyone who may log in"
tools = "approve"

[policy]
folder = "policies"
`, { port, files: { 'policies/rules.cedar': POLICIES, 'policies/arguments.cedarschema': 'type Arguments = { force?: Bool };' } });
  const endpoint = `${sekisho}/notes/mcp`;
  const { accessToken } = await authorize(sekisho, endpoint);
  await accept({ direct: fixture.said, endpoint, accessToken, config: path.join(running.folder, 'sekisho.toml') });
  const shim = await start(process.execPath, [path.join(here, 'bearer-shim.mjs')], {
    env: { TOKEN: accessToken, TARGET: sekisho, BASE: '/notes' }, ready: /^listening (\S+)/m, log: log('shim'),
  });
  return { direct: fixture.said, target: new URL(fixture.said).origin, through: `${shim.said}/mcp`, sekisho, audit: running.audit };
}

/** What a broken gateway would look like: the comparison must see it, or all of the above proves nothing. */
async function sabotaged({ direct, target }) {
  const words = (scenario) => ['--scenario', scenario, '--spec-version', '2025-11-25', '--timeout', '3000'];
  for (const [name, scenario, env] of [
    ['drops Mcp-Session-Id', 'server-session-lifecycle', { DROP: 'mcp-session-id' }],
    ['drops Last-Event-ID', 'server-sse-polling', { DROP: 'last-event-id' }],
    ['keeps events back until the end', 'tools-call-elicitation', { BUFFER: '1' }],
  ])
    await test(`a proxy that ${name} is found out`, async () => {
      const proxy = await start(process.execPath, [path.join(here, 'bearer-shim.mjs')], { env: { TOKEN: 'none', TARGET: target, ...env }, ready: /^listening (\S+)/m, log: log('sabotaged') });
      const [expected, seen] = [await suite(direct, ...words(scenario)), await suite(`${proxy.said}/mcp`, ...words(scenario))];
      assert.notDeepEqual(differences(expected.results, seen.results), [], tail(seen.said));
      await proxy.stop();
    });
}

try {
  const at = await places();
  for (const [revision, too] of Object.entries(REQUIRED_TOO))
    await test(`${revision}, what the revision requires, and more`, () => same(at, ['--requirements', revision], too));
  for (const revision of ['2025-06-18', '2025-03-26'])
    await test(`${revision}, the whole suite`, () => same(at, ['--suite', 'all', '--spec-version', revision], ['server-session-lifecycle']));
  await test('what the suite called is in the audit', async () => {
    const calls = (await at.audit()).filter((event) => event.kind === 'call');
    assert.ok(calls.length > 100, `${calls.length} calls`);
  });
  await sabotaged(at);
  await resumption(at);
} catch (error) {
  await test('the fixture and the gateway start', () => { throw error; });
} finally {
  await finish('server');
}
