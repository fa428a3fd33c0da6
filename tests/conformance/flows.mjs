// What people do at the pages, in a real browser with a real OpenID provider behind them: log in, allow, refuse, click twice, have
// two tabs, go back, come from another browser or from another site's page.
//
//   SEKISHO_BIN=…/sekisho node flows.mjs     with Chromium on the path and the Node of package-lock.json
//   PICTURES=folder                          keeps a picture of each page
//
// Clicks are those of a mouse: what is asleep or covered is not pressed. The application and the hostile site are servers here.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { judge } from './axe.mjs';
import { chromium } from './chromium.mjs';
import { finish, test } from './report.mjs';
import { binary, freePort, serve, start, temporaryFolder } from './sekisho.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const PATIENCE = 30_000;

const client = (id, name) => `[[client]]\nclient_id = "${id}"\nname = "${name}"\nredirect_uris = ["http://127.0.0.1/callback"]\n\n`;
const server = (name, title) => `[[mcp_server]]\nname = "${name}"\ntitle = "${title}"\nurl = "http://127.0.0.1:9/mcp"\naccess = "everyone who may log in"\n\n`;
const sections = (issuer) => `[clients]
ask = ["client:careful"]

[consent]
remember_loopback = ["console"]

${client('console', 'Console')}${client('careful', 'Careful')}${server('notes', 'Notes')}${server('tickets', 'Tickets')}${server('wiki', 'Wiki')}
[[identity_provider]]
id = "corporate"
kind = "oidc"
title = "Corporate"
issuer = "${issuer}"
client_id = "sekisho"
client_secret_file = "provider.secret"
scopes = ["openid", "profile", "email"]
`;

/** A server on the loopback interface: an application that is called back, or a site of somebody else. */
async function listen(answer) {
  const seen = [];
  const site = createServer((request, response) => {
    const url = new URL(request.url, `http://${request.headers.host}`);
    if (url.pathname !== '/favicon.ico') seen.push(url);
    response.setHeader('content-type', 'text/html');
    response.end(answer?.(url) ?? '<!doctype html><title>Back</title>');
  });
  await new Promise((listening) => site.listen(0, '127.0.0.1', listening));
  return { site, seen, url: `http://127.0.0.1:${site.address().port}` };
}

async function until(what, holds) {
  for (const late = Date.now() + PATIENCE; Date.now() < late; await new Promise((wake) => setTimeout(wake, 20))) {
    const found = await holds();
    if (found) return found;
  }
  throw new Error(`did not come: ${what}`);
}

const application = await listen(), callback = `${application.url}/callback`;
let provider, sekisho, browser;

/** A registration of its own for each flow: nothing that was allowed in another one helps. */
async function registered() {
  const answer = await fetch(`${sekisho.url}/oauth/register`, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'Example application', redirect_uris: [callback], token_endpoint_auth_method: 'none' }),
  });
  assert.equal(answer.status, 201);
  return (await answer.json()).client_id;
}

/** An authorization request, and what redeems its code. */
function asking(clientId, { resource = 'notes', ...more } = {}) {
  const verifier = randomBytes(32).toString('base64url'), state = randomBytes(12).toString('base64url');
  const url = new URL(`${sekisho.url}/oauth/authorize`);
  url.search = new URLSearchParams({
    response_type: 'code', client_id: clientId, redirect_uri: callback, state, resource: `${sekisho.url}/${resource}/mcp`,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256', ...more,
  });
  /** What the application was told, once. */
  const told = () => application.seen.filter((one) => one.searchParams.get('state') === state);
  const code = async () => {
    const answer = (await until('the answer', () => told()[0])).searchParams;
    assert.equal(answer.get('iss'), sekisho.url);
    assert.ok(answer.get('code'), `no code: ${answer}`);
    return answer.get('code');
  };
  const redeem = async () => {
    const fields = { grant_type: 'authorization_code', client_id: clientId, redirect_uri: callback, code: await code(), code_verifier: verifier };
    const answer = await fetch(`${sekisho.url}/oauth/token`, { method: 'POST', body: new URLSearchParams(fields) });
    return { status: answer.status, ...(await answer.json()) };
  };
  return { url: url.href, told, code, redeem };
}

const ALLOW = 'button[value=allow]', CANCEL = 'button[value=deny]';
const words = (tab) => tab.evaluate('document.body.innerText');
const has = (tab, selector) => tab.evaluate(`document.querySelector(${JSON.stringify(selector)}) !== null`);
const awake = (tab) => until('an active button', () => tab.evaluate(`document.querySelector('${ALLOW}')?.disabled === false`));
const consented = async () => (await sekisho.audit()).filter((event) => event.kind === 'consent_given').length;
const look = (tab, page) => judge(tab, `flow-${page}`, 'en', new Set());

/** Through the real provider's pages, to our consent page. */
async function logIn(tab, login = 'alice') {
  await tab.press('button[name=connector]');
  assert.ok((await tab.evaluate('location.href')).startsWith(provider.said), 'at the provider');
  await tab.type('[name=login]', login);
  await tab.type('[name=password]', 'any');
  await tab.press('button[type=submit]');
  // It asks whether we may know who this is.
  if ((await tab.evaluate('location.href')).startsWith(provider.said)) await tab.press('button[type=submit]');
}

/** A browser in which somebody came to the page that asks. */
async function atConsent(url, login) {
  const tab = await browser.person('en');
  await tab.goto(url);
  await logIn(tab, login);
  assert.ok(await has(tab, ALLOW), await words(tab));
  return tab;
}

async function allow(tab) {
  await awake(tab);
  return tab.leads(() => tab.click(ALLOW));
}

const flows = {
  async 'log in, untick, allow: the application has its token'() {
    const asked = asking(await registered());
    const tab = await browser.person('en');
    await tab.goto(asked.url);
    await look(tab, 'login');
    await logIn(tab);
    await look(tab, 'consent');
    await tab.click('input[value=write]');
    await allow(tab);
    const tokens = await asked.redeem();
    assert.equal(tokens.status, 200, JSON.stringify(tokens));
    assert.equal(tokens.scope, 'read');
    assert.ok((await tab.evaluate('location.href')).startsWith(callback));
  },

  async 'cancel: the application is told, and the page is over'() {
    const asked = asking(await registered());
    const tab = await atConsent(asked.url);
    const before = await consented();
    const page = await tab.evaluate('location.href');
    await tab.leads(() => tab.click(CANCEL));
    const [told] = asked.told();
    assert.equal(told.searchParams.get('error'), 'access_denied');
    assert.equal(told.searchParams.get('code'), null);
    await tab.goto(page);
    assert.equal(await has(tab, ALLOW), false, await words(tab));
    await look(tab, 'decided');
    assert.equal(await consented(), before);
  },

  async 'a click that comes too early, and Enter, allow nothing'() {
    const asked = asking(await registered());
    const tab = await atConsent(asked.url);
    const page = await tab.evaluate('location.href');
    await tab.evaluate(`dispatchEvent(new Event('focus'))`);
    assert.equal(await tab.evaluate(`document.querySelector('${ALLOW}').disabled`), true);
    await tab.click(ALLOW, 2);
    assert.equal(await tab.evaluate('location.href'), page);
    await awake(tab);
    await tab.key('Enter');
    assert.equal(await tab.evaluate('location.href'), page);
    // In a field of the form Enter presses the first button, and that is the one that cancels.
    await tab.evaluate(`document.querySelector('input[value=read]').focus()`);
    await tab.leads(() => tab.key('Enter'));
    assert.deepEqual(asked.told().map((one) => one.searchParams.get('error')), ['access_denied']);
  },

  async 'two clicks are one yes'() {
    const asked = asking(await registered());
    const tab = await atConsent(asked.url);
    const before = await consented();
    await awake(tab);
    await tab.leads(() => tab.click(ALLOW, 2));
    assert.equal((await asked.redeem()).status, 200);
    assert.equal(asked.told().length, 1);
    assert.equal(await consented(), before + 1);
  },

  async 'two tabs: one sign-in, the other goes on by itself, each its own answer'() {
    const [first, second] = [asking(await registered()), asking(await registered())];
    const tab = await browser.person('en'), other = await tab.tab();
    await other.goto(second.url);
    await tab.front();
    await tab.goto(first.url);
    await logIn(tab);
    assert.equal(await has(other, ALLOW), false, 'not while nobody looks');
    await other.leads(() => other.front());
    assert.ok(await has(other, ALLOW), await words(other));
    await allow(other);
    await tab.front();
    await allow(tab);
    const [one, two] = [await first.redeem(), await second.redeem()];
    assert.deepEqual([one.status, two.status], [200, 200]);
    assert.deepEqual([first.told().length, second.told().length], [1, 1]);
  },

  async 'one sign-in in two tabs is decided once'() {
    const asked = asking(await registered());
    const tab = await atConsent(asked.url), other = await tab.tab();
    await other.goto(await tab.evaluate('location.href'));
    assert.ok(await has(other, ALLOW));
    await tab.front();
    await allow(tab);
    await asked.code();
    await other.front();
    await allow(other);
    assert.equal(asked.told().length, 1, 'no second answer');
    assert.ok((await other.evaluate('location.href')).startsWith(sekisho.url));
    assert.equal(await has(other, ALLOW), false, await words(other));
    assert.equal((await asked.redeem()).status, 200, 'and the first one is as good as before');
  },

  async 'back after yes: a page that says so, and none that could be sent again'() {
    const asked = asking(await registered());
    const tab = await atConsent(asked.url);
    await allow(tab);
    const before = await consented();
    await tab.evaluate('history.back()');
    await until('the page before', async () => (await tab.evaluate('location.href')).startsWith(sekisho.url));
    // Whether or not the browser kept the page.
    await until('that it was decided', async () => !(await has(tab, ALLOW)));
    await look(tab, 'back');
    assert.equal(asked.told().length, 1);
    assert.equal(await consented(), before);
    assert.equal((await asked.redeem()).status, 200);
  },

  async 'another browser is shown nothing, and takes nothing away'() {
    const asked = asking(await registered());
    const tab = await atConsent(asked.url), page = await tab.evaluate('location.href');
    const stranger = await atConsent(asking(await registered()).url, 'bob');
    for (const link of [page, page.replace('/consent', '/login')]) {
      await stranger.goto(link);
      assert.equal(await has(stranger, 'form[method=post]'), false, await words(stranger));
      assert.ok(!(await words(stranger)).includes('Alice'));
    }
    await look(stranger, 'another-browser');
    await allow(tab);
    assert.equal((await asked.redeem()).status, 200);
  },

  async 'somebody else signs in in the same browser: the old page is worth nothing'() {
    const asked = asking(await registered());
    const tab = await atConsent(asked.url), other = await tab.tab();
    // The person of the provider changes too, as at a shared machine.
    await other.goto(`${provider.said}/session/end`);
    if (await has(other, 'button[name=logout]')) await other.press('button[name=logout]');
    await other.goto(asking(await registered(), { prompt: 'select_account' }).url);
    await logIn(other, 'bob');
    assert.ok((await words(other)).includes('Bob'), await words(other));
    const before = await consented();
    await tab.front();
    await allow(tab);
    assert.equal(asked.told().length, 0);
    assert.equal(await consented(), before);
    await look(tab, 'somebody-else');
    assert.ok((await tab.evaluate('location.href')).startsWith(sekisho.url));
  },

  async 'an application that needs approval waits, and goes on'() {
    const asked = asking('careful');
    const tab = await browser.person('en');
    await tab.goto(asked.url);
    await logIn(tab);
    assert.equal(await has(tab, ALLOW), false);
    await look(tab, 'approval');
    const reference = (await words(tab)).match(/sekisho clients approve (\S+)/)[1];
    await tab.press('button[type=submit]');
    assert.equal(await has(tab, ALLOW), false, 'pressing does not help');
    execFileSync(binary(), ['clients', 'approve', reference, '--config', path.join(sekisho.folder, 'sekisho.toml')]);
    await tab.press('button[type=submit]');
    await allow(tab);
    assert.equal((await asked.redeem()).status, 200);
  },

  async 'several MCP servers are one page and one sign-in'() {
    const clientId = await registered(), asked = asking(clientId);
    const tab = await atConsent(asked.url);
    await tab.click('summary');
    await look(tab, 'several');
    await tab.click('input[name=further][value="*"]');
    await allow(tab);
    assert.equal((await asked.redeem()).status, 200);
    for (const resource of ['tickets', 'wiki']) {
      const further = asking(clientId, { resource }), again = asking(clientId, { resource });
      assert.ok((await tab.goto(further.url)).startsWith(callback), resource);
      assert.equal((await further.redeem()).status, 200, resource);
      await tab.goto(again.url);
      assert.ok(await has(tab, ALLOW), 'once');
    }
  },

  async 'a page of another site frames nothing, and fetches no code that stands ready'() {
    const asked = asking('console', { prompt: 'consent' });
    const tab = await atConsent(asked.url);
    await allow(tab);
    const straight = asking('console');
    assert.ok((await tab.goto(straight.url)).startsWith(callback), 'remembered in this browser');
    assert.equal((await straight.redeem()).status, 200);
    const framed = asking('console'), pictured = asking('console'), sent = asking('console');
    const evil = await listen((url) => url.pathname === '/link'
      ? `<!doctype html><title>Evil</title><a href="${sent.url.replaceAll('&', '&amp;')}">here</a>`
      : `<!doctype html><title>Evil</title><iframe src="${framed.url.replaceAll('&', '&amp;')}"></iframe><img src="${pictured.url.replaceAll('&', '&amp;')}">`);
    try {
      await tab.goto(`${evil.url}/frame`);
      assert.equal(await tab.evaluate(`document.querySelector('iframe').contentDocument`), null, 'it is no page of ours that is framed');
      assert.ok(tab.complaints.some((one) => one.includes('frame')), `${tab.complaints}`);
      await tab.goto(`${evil.url}/link`);
      await tab.leads(() => tab.click('a'));
      assert.ok(await has(tab, ALLOW), `whoever comes from elsewhere is asked: ${await words(tab)}`);
      assert.equal(await has(tab, 'input[name=further]'), false, 'and offered nothing more');
      for (const one of [framed, pictured, sent]) assert.equal(one.told().length, 0);
    } finally {
      evil.site.closeAllConnections();
      evil.site.close();
    }
  },
};

try {
  const port = await freePort();
  provider = await start(process.execPath, [path.join(here, 'oidc-provider.mjs')], {
    env: { PORT: '0', OIDC_REDIRECT_URIS: `http://localhost:${port}/login/callback/corporate` }, ready: /^issuer (\S+)/m, log: path.join(temporaryFolder('oidc-provider'), 'log'),
  });
  sekisho = await serve('flows', sections(provider.said), { port });
  browser = await chromium();
  for (const [name, flow] of Object.entries(flows)) await test(name, flow);
} catch (error) {
  await test('the browser starts', () => { throw error; });
} finally {
  application.site.closeAllConnections();
  application.site.close();
  await finish('flows');
}
