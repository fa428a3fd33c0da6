// The headless browser must be no kinder than a real one: `node --test tests/conformance/helpers.test.mjs`.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { Cookies, fetchSite, formActionAdmits, originOf } from './browser.mjs';
import { differences } from './compare.mjs';
import { browse, choose, fill } from './consent.mjs';
import { formsOf, textOf } from './html.mjs';

const fields = new URLSearchParams('login=alice');
const page = new URL('http://localhost:1/consent');
const answer = (...cookies) => ({ headers: { getSetCookie: () => cookies } });
const press = (html, options = {}) => fill(choose(formsOf(html), options), page, { fields, ...options });

test('unchecked boxes, disabled fields and buttons not pressed are not sent', () => {
  const { body } = press(`<form method="post" action="/consent">
    <input type=hidden name=csrf value="a&amp;b"><input type=checkbox name=scope value=read checked>
    <input type=checkbox name=scope value=write><input name=off value=1 disabled>
    <button name=decision value=deny>Cancel</button><button name=decision value=allow>Allow</button></form>`);
  assert.equal(body, 'csrf=a%26b&scope=read&decision=allow');
});

test('a box can be unticked and consent can be refused', () => {
  const html = `<form method=post><input type=checkbox name=scope value=read checked><button name=decision value=deny>Cancel</button><button name=decision value=allow>Allow</button></form>`;
  assert.equal(press(html, { untick: ['read'] }).body, 'decision=allow');
  assert.equal(press(html, { deny: true }).body, 'scope=read&decision=deny');
});

test('of several connectors the first is pressed, or the one that is named', () => {
  const html = '<form method=post action=/login><button name=connector value=a>A</button><button name=connector value=b>B</button></form>';
  assert.equal(press(html).body, 'connector=a');
  assert.equal(press(html, { connector: 'b' }).body, 'connector=b');
});

test('the form that signs out is not the one that is sent', () => {
  const html = '<form method=post action="/login/sign-out"><button>not you?</button></form><form method=post action=/consent><button name=d value=allow>Allow</button></form>';
  assert.equal(press(html).url.pathname, '/consent');
});

test('a button may stand outside its form, and comments are not read', () => {
  const html = '<!-- <form action=/evil><button>Allow</button></form> --><form id=f method=post action=/x><input name=login></form><button form=f name=go value=1>Continue</button>';
  assert.equal(press(html).body, 'login=alice&go=1');
});

test('a disabled button cannot be pressed', () => {
  assert.equal(choose(formsOf('<form method=post><button disabled>Allow</button></form>'))?.button, undefined);
});

test('the text of a page leaves out its scripts', () => assert.equal(textOf('<head><title>t</title></head><p>a &amp; b<script>c</script>'), 'a & b'));

test('cookies keep to host, path, age and site, and not to the port', () => {
  const jar = new Cookies();
  jar.store(new URL('http://localhost:1/a/b'), answer('lax=1; Path=/', 'deep=1; Path=/a', 'strict=1; Path=/; SameSite=Strict', 'gone=1; Max-Age=0; Path=/'));
  const at = (url, method = 'GET', crossSite = false) => jar.header(new URL(url), { method, crossSite });
  assert.equal(at('http://localhost:1/a/c'), 'deep=1; lax=1; strict=1');
  assert.equal(at('http://localhost:2/abc'), 'lax=1; strict=1');
  assert.equal(at('http://127.0.0.1:1/'), '');
  assert.equal(at('http://localhost:1/', 'GET', true), 'lax=1');
  assert.equal(at('http://localhost:1/', 'POST', true), '');
  jar.store(new URL('http://localhost:1/'), answer('lax=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT'));
  assert.equal(at('http://localhost:1/'), 'strict=1');
});

test('a __Host- cookie needs Secure, the root path and no domain', () => {
  const jar = new Cookies();
  jar.store(new URL('https://a.example/'), answer('__Host-a=1; Path=/', '__Host-b=1; Secure; Path=/x', '__Host-c=1; Secure; Path=/; Domain=a.example', '__Host-d=1; Secure; Path=/'));
  assert.equal(jar.header(new URL('https://a.example/'), { method: 'GET', crossSite: false }), '__Host-d=1');
});

test('Sec-Fetch-Site is none for a typed address and follows the redirects', () => {
  const [a, b, c] = ['http://localhost:1/x', 'http://localhost:2/x', 'http://127.0.0.1:1/x'].map((url) => new URL(url));
  assert.equal(fetchSite(undefined, [a, b]), 'none');
  assert.equal(fetchSite(a, [a]), 'same-origin');
  assert.equal(fetchSite(a, [b, a]), 'same-site');
  assert.equal(fetchSite(a, [c, a]), 'cross-site');
});

test('a page without referrer sends no origin', () => {
  assert.equal(originOf(page, 'no-referrer', page), 'null');
  assert.equal(originOf(page, 'same-origin', page), 'http://localhost:1');
  assert.equal(originOf(page, 'same-origin', new URL('http://localhost:2/')), 'null');
});

test('form-action admits what a browser would', () => {
  const admits = (source, url) => formActionAdmits([source], new URL(url), page);
  assert.ok(admits("'self'", 'http://localhost:1/x') && !admits("'self'", 'http://localhost:2/x'));
  assert.ok(admits('http://127.0.0.1:*', 'http://127.0.0.1:5/cb') && !admits('http://127.0.0.1:4', 'http://127.0.0.1:5/cb'));
  assert.ok(admits('https://*.example.com', 'https://a.example.com/') && !admits('https://*.example.com', 'https://example.com/'));
  assert.ok(admits('cursor:', 'cursor://x/cb') && !admits("'none'", 'http://localhost:1/'));
});

test('a redirect that form-action forbids ends the walk', async () => {
  const server = createServer((request, response) => {
    if (request.method === 'POST') response.writeHead(303, { location: 'http://127.0.0.1:1/callback?code=x' }).end();
    else response.writeHead(200, { 'content-type': 'text/html', 'content-security-policy': "default-src 'none'; form-action 'self'" }).end('<form method=post><button>Allow</button></form>');
  });
  await new Promise((ready) => server.listen(0, 'localhost', ready));
  const url = `http://localhost:${server.address().port}/authorize?redirect_uri=${encodeURIComponent('http://127.0.0.1:1/callback')}`;
  await assert.rejects(browse(url), /form-action/);
  server.close();
});

test('two runs of the suite are held against each other check by check', () => {
  const check = (id, status, name = 'Name') => ({ id, name, status, errorMessage: 'why' });
  const run = (...checks) => new Map([['ping', checks]]);
  const direct = run(check('a', 'SUCCESS'), check('b', 'WARNING'));
  assert.deepEqual(differences(direct, run(check('b', 'WARNING'), check('log', 'INFO'), check('a', 'SUCCESS'))), []);
  assert.deepEqual(differences(direct, run(check('a', 'FAILURE'), check('b', 'WARNING'))), ['ping: only direct:  a (Name): SUCCESS', 'ping: only through: a (Name): FAILURE\n    why']);
  for (const through of [run(check('a', 'SUCCESS')), run(check('a', 'SUCCESS'), check('b', 'SUCCESS')), run(check('a', 'SUCCESS'), check('b', 'WARNING'), check('b', 'WARNING')), new Map()])
    assert.notDeepEqual(differences(direct, through), []);
  assert.deepEqual(differences(run(), run()), ['the direct run has no verdict at all']);
});
