// A stream that was cut is taken up again with `Last-Event-ID` (MCP 2025-11-25, transports, "Resumability and Redelivery").
//
// The suite notices nothing when a gateway drops that header. Here the MCP server is the fixture, whose SDK numbers its events and
// keeps them: only the id that it gave, unchanged, brings back the events that were missed and no others.
import assert from 'node:assert/strict';
import { test } from './report.mjs';
import { authorize } from './token.mjs';

const VERSION = '2025-11-25';
const PATIENCE = 10_000;

const isResult = (event) => event.message?.result !== undefined;

/** The events of a stream until it ends, or until `last` says of one that it was the last wanted; then the connection is cut. */
async function events(response, last = () => false) {
  assert.equal(response.status, 200, await (response.status === 200 ? '' : response.text()));
  assert.match(response.headers.get('content-type'), /^text\/event-stream/);
  const found = [], reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return found;
    text = (text + value).replaceAll('\r\n', '\n');
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n');
      text = text.slice(end + 2);
      const field = (name) => lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).replace(/^ /, '')).join('\n');
      if (lines.every((line) => line.startsWith(':'))) continue;
      found.push({ id: field('id'), message: field('data') ? JSON.parse(field('data')) : undefined });
      if (last(found.at(-1))) { await reader.cancel(); return found; }
    }
  }
}

/** One session at `url`. */
class Session {
  #id;
  constructor(url, token) { this.url = url; this.token = token; }

  request(method, { body, headers = {}, session = this.#id } = {}) {
    const all = {
      accept: method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream', ...(body && { 'content-type': 'application/json' }),
      ...(this.token && { authorization: `Bearer ${this.token}` }), ...(session && { 'mcp-session-id': session, 'mcp-protocol-version': VERSION }), ...headers,
    };
    return fetch(this.url, { method, headers: all, body: body && JSON.stringify({ jsonrpc: '2.0', ...body }), signal: AbortSignal.timeout(PATIENCE) });
  }

  async open() {
    const answer = await this.request('POST', { body: { id: 0, method: 'initialize', params: { protocolVersion: VERSION, capabilities: {}, clientInfo: { name: 'resumption', version: '1' } } } });
    assert.equal((await events(answer)).at(-1).message.result.protocolVersion, VERSION);
    this.#id = answer.headers.get('mcp-session-id');
    assert.ok(this.#id, 'a session id');
    const accepted = await this.request('POST', { body: { method: 'notifications/initialized' } });
    assert.equal(accepted.status, 202, await accepted.text());
    return this;
  }

  get id() { return this.#id; }
  call(name, params = {}) { return this.request('POST', { body: { id: 1, method: 'tools/call', params: { name, arguments: {}, ...params } } }); }
  resume(lastEventId, options = {}) { return this.request('GET', { headers: { 'last-event-id': lastEventId }, ...options }); }
}

/** Cut after the first step of three, then taken up again: what is missed comes, once and in order. */
async function cutAndResumed(session) {
  const answer = await session.call('test_tool_with_progress', { _meta: { progressToken: 'steps' } });
  const before = await events(answer, (event) => event.message);
  assert.equal(before.at(-1)?.message.params?.progress, 0, JSON.stringify(before));
  // This SDK repeats the event that the id names.
  const after = (await events(await session.resume(before.at(-1).id))).filter((event) => event.id !== before.at(-1).id);
  assert.deepEqual(after.map((event) => event.message?.params?.progress ?? isResult(event)), [50, 100, true], JSON.stringify(after));
  return [...before, ...after];
}

/** Closed by the server in the middle of the call. */
async function closedAndResumed(session) {
  const before = await events(await session.call('test_reconnection'));
  assert.deepEqual(before.map((event) => event.message), [undefined], 'nothing but the priming event');
  const after = await events(await session.resume(before[0].id), isResult);
  assert.ok(isResult(after.at(-1)), JSON.stringify(after));
  return [...before, ...after];
}

export async function resumption({ direct, sekisho }) {
  const url = `${sekisho}/notes/mcp`;
  const { accessToken } = await authorize(sekisho, url);
  for (const [name, way] of [['a stream that the network cut', cutAndResumed], ['a stream that the server closed', closedAndResumed]])
    await test(`Last-Event-ID, ${name} goes on where it stopped`, async () => {
      const expected = await way(await new Session(direct).open());
      assert.deepEqual(await way(await new Session(url, accessToken).open()), expected);
    });
  await test('Last-Event-ID, the stream of another person stays closed', async () => {
    const mine = await new Session(url, accessToken).open();
    const [{ id }] = await events(await mine.call('test_reconnection'));
    const bob = new Session(url, (await authorize(sekisho, url, 'bob')).accessToken);
    for (const session of [mine.id, undefined]) {
      const refused = await bob.resume(id, { session });
      assert.ok([400, 404].includes(refused.status), `status ${refused.status}`);
      assert.doesNotMatch(await refused.text(), /after the stream/);
    }
    const event = (await events(await mine.resume(id), isResult)).at(-1);
    assert.match(event.message.result.content[0].text, /after the stream was closed/);
  });
}
