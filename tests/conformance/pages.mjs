// Every page for people in a real browser, judged by axe-core: in both languages, in light and in dark, on a phone's width.
//
//   SEKISHO_BIN=…/sekisho node pages.mjs      with Chromium on the path and the Node of package-lock.json
//   PICTURES=folder                           keeps a picture of each page
//
// A violation of WCAG 2.2 A or AA, or of axe's best practices, fails; so does a page that its own Content-Security-Policy stops.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { judge } from './axe.mjs';
import { chromium } from './chromium.mjs';
import { finish, test } from './report.mjs';
import { binary, serve } from './sekisho.mjs';

const PAGES = ['index', 'login', 'development', 'consent', 'consent-known', 'consent-several', 'approval', 'device', 'device-done', 'connect', 'connections', 'connections-none', 'emergency', 'error', 'not-found'];

const sections = `[clients]
ask = ["client:careful"]

[[client]]
client_id = "appliance"
name = "Appliance"
redirect_uris = ["http://127.0.0.1/callback"]

[[client]]
client_id = "careful"
name = "Careful"
redirect_uris = ["http://127.0.0.1/callback"]

[[identity_provider]]
id = "development"
kind = "development"
title = "Example people"

[[identity_provider]]
id = "corporate"
kind = "oidc"
title = "Corporate"
issuer = "http://127.0.0.1:9"
client_id = "sekisho"
client_secret_file = "provider.secret"
home_domains = ["example.com"]

[[mcp_server]]
name = "notes"
title = "Notes"
url = "http://127.0.0.1:9/mcp"
access = "everyone who may log in"
read = "read the notes on the board"
write = "put notes on the board"
read_ja = "掲示板のメモを読む"

[[mcp_server]]
name = "tickets"
title = "Tickets"
url = "http://127.0.0.1:9/mcp"
access = "everyone who may log in"

[[mcp_server]]
name = "tracker"
title = "Tracker"
url = "http://127.0.0.1:9/mcp"
access = "everyone who may log in"
credential = "connection"

[mcp_server.connection]
kind = "github"
client_id = "app"
client_secret_file = "provider.secret"
scopes = ["read:user", "repo"]

[[mcp_server]]
name = "wiki"
title = "Wiki"
url = "http://127.0.0.1:9/mcp"
access = "everyone who may log in"
`;

/** What an application does before it opens the browser. */
async function authorizationUrl(issuer, redirect) {
  const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
  const registered = await (await fetch(metadata.registration_endpoint, {
    method: 'POST', headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ client_name: 'Example application', redirect_uris: [redirect], token_endpoint_auth_method: 'none' }),
  })).json();
  return asking(metadata.authorization_endpoint, issuer, registered.client_id, redirect);
}

function asking(endpoint, issuer, clientId, redirect) {
  const url = new URL(endpoint);
  url.search = new URLSearchParams({
    response_type: 'code', client_id: clientId, redirect_uri: redirect, state: 'a', resource: `${issuer}/notes/mcp`,
    code_challenge: randomBytes(32).toString('base64url'), code_challenge_method: 'S256', scope: 'read write',
  });
  return url.href;
}

/** What a device without a browser shows: the address of the page, with the code in it. */
async function deviceUrl(issuer) {
  const answer = await fetch(`${issuer}/oauth/device_authorization`, {
    method: 'POST', body: new URLSearchParams({ client_id: 'appliance', resource: `${issuer}/notes/mcp`, scope: 'read write' }),
  });
  return (await answer.json()).verification_uri_complete;
}

/** Accounts that she has connected, as they stand in the record: one of which not all was allowed, and one that is dead. What is sealed no page opens. */
function connect(folder, person) {
  const record = new DatabaseSync(path.join(folder, 'sekisho.db'));
  const [{ id: user }] = record.prepare('SELECT id FROM users WHERE email = ?').all(person);
  const now = Date.now() * 1000, put = record.prepare(`INSERT INTO connections (id, user_id, server, binding, scope, access_token, expires_at, generation,
    created_at, refreshed_at, rotated_at, needs_sign_in, tries) VALUES (?, ?, ?, ?, ?, ?, ?, 0, ?, ?, ?, ?, 0)`);
  for (const [server, missing, dead, ends] of [['tracker', 'repo', null, now + 3600e6], ['wiki', undefined, 'connection_refused_by_mcp_server', null]]) {
    const binding = { at: 'http://127.0.0.1:9', binding: { issuer: 'https://github.com', client_id: 'app', resource: null }, missing };
    put.run(randomBytes(16), user, server, JSON.stringify(binding), 'read:user', randomBytes(40), ends, now, now, now, dead);
  }
  return () => { record.exec('DELETE FROM connections'); record.close(); };
}

async function walk(browser, sekisho, callback, language) {
  const { url } = sekisho, seen = new Set();
  const look = (person, page) => judge(person, page, language, seen);
  const person = await browser.person(language);
  await person.goto(`${url}/`);
  await look(person, 'index');
  const begun = await authorizationUrl(url, callback);
  await person.goto(begun);
  await look(person, 'login');
  await person.press('button[value=development]');
  await look(person, 'development');
  await person.type('#login', 'alice');
  await person.press('button[type=submit]');
  await look(person, 'consent');
  await person.evaluate(`document.querySelector('details').open = true`);
  await look(person, 'consent-several');
  await person.evaluate(`new Promise((active) => { const button = document.querySelector('button[value=allow]');
    (function wait() { if (button.disabled) setTimeout(wait, 20); else active(); })(); })`);
  const back = await person.press('button[value=allow]');
  assert.ok(back.startsWith(callback) && back.includes('code='), back);
  await person.goto(asking(`${url}/oauth/authorize`, url, 'appliance', callback));
  await look(person, 'consent-known');
  await person.goto(asking(`${url}/oauth/authorize`, url, 'careful', callback));
  await look(person, 'approval');
  await person.goto(await deviceUrl(url));
  await look(person, 'device');
  await person.press('button[type=submit]');
  await look(person, 'consent');
  await person.press('button[value=deny]');
  await look(person, 'device-done');
  await person.goto(`${url}/connect/tracker`);
  await look(person, 'connect');
  await person.goto(`${url}/account/connections`);
  await look(person, 'connections-none');
  const disconnect = connect(sekisho.folder, 'alice@example.com');
  await person.goto(`${url}/account/connections?connected=tracker`);
  await look(person, 'connections');
  disconnect();
  await person.goto(begun.replace(/redirect_uri=[^&]*/, 'redirect_uri=https%3A%2F%2Felsewhere.example%2F'));
  await look(person, 'error');
  await person.goto(`${url}/no-such-page`);
  if ((await person.evaluate('document.contentType')) === 'text/html') await look(person, 'not-found');
  const config = path.join(sekisho.folder, 'sekisho.toml');
  execFileSync(binary(), ['emergency-login', '--config', config, '--user', 'alice@example.com', '--why', 'drill']);
  const stranger = await browser.person(language);
  await stranger.goto(await authorizationUrl(url, callback));
  await look(stranger, 'login');
  await stranger.press('a[href^="/login/emergency"]');
  await look(stranger, 'emergency');
  await stranger.type('#code', 'no code');
  await stranger.press('button[type=submit]');
  await look(stranger, 'error');
  return seen;
}

const application = createServer((_, response) => response.end('<!doctype html><title>Back</title>'));
await new Promise((listening) => application.listen(0, '127.0.0.1', listening));
try {
  const sekisho = await serve('pages', sections);
  const browser = await chromium();
  for (const language of ['en', 'ja'])
    await test(`pages in ${language}`, async () => {
      const seen = await walk(browser, sekisho, `http://127.0.0.1:${application.address().port}/callback`, language);
      assert.deepEqual([...seen].sort(), [...PAGES].sort());
    });
} catch (error) {
  await test('the browser starts', () => { throw error; });
} finally {
  application.closeAllConnections();
  application.close();
  await finish('pages');
}
