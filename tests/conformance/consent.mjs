#!/usr/bin/env node
// A browser without a window: follows an authorization URL through login and consent to the client's callback.
//
//   node consent.mjs <authorization-url>
//
//   BOT_FIELDS="login=alice&password=x"   values for text fields (default: alice everywhere)
//   BOT_CONNECTOR=okta                    which button named `connector` to press on the login page (default: the first)
//   BOT_UNTICK="write"                    values of checkboxes to untick, separated by spaces
//   BOT_DENY=1                            press the button that refuses
//   BOT_ADD="scope=read"                  parameters added to the authorization URL
//   BOT_PRINT=1                           print the callback's URL instead of fetching it
//   BOT_LOG=file                          one line per step (default: stderr)
//
// Exit 0: the callback was reached. Exit 1: it was not, and the last page's text is in the log.
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Cookies, fetchSite, formActionAdmits, formActionsOf, originOf } from './browser.mjs';
import { formsOf, refreshOf, textOf } from './html.mjs';

const yes = /\b(allow|approve|accept|continue|sign[ -]?in|log[ -]?in|confirm|consent|authori[sz]e|yes)\b/i;
const no = /\b(cancel|deny|denied|decline|refuse|reject|abort|sign[ -]?out|log[ -]?out|not you)\b/i;
const words = (button) => `${button.name ?? ''} ${button.value ?? ''} ${button.text} ${button.formaction ?? ''}`;
const STEPS = 25;

export const defaultFields = 'login=alice&username=alice&email=alice@example.com&password=secret';

class Stuck extends Error {}

/** Chooses the form and the button that a person would press. */
export function choose(forms, { connector, deny = false } = {}) {
  const pressable = forms
    .filter((form) => !no.test(form.attributes.action?.replace(/[/_-]+/g, ' ') ?? '') || deny)
    .map((form) => ({ form, buttons: form.buttons.filter((button) => !button.disabled) }));
  for (const { form, buttons } of pressable) {
    const button = deny ? buttons.find((one) => no.test(words(one)))
      : connector !== undefined ? buttons.find((one) => one.name === 'connector' && one.value === connector) : undefined;
    if (button) return { form, button };
  }
  if (deny) return undefined;
  for (const { form, buttons } of pressable) {
    const button = buttons.find((one) => one.name === 'connector') ?? buttons.find((one) => yes.test(words(one)) && !no.test(words(one)));
    if (button) return { form, button };
  }
  const first = pressable.find(({ form, buttons }) => buttons.some((one) => !no.test(words(one))) || !form.buttons.length);
  return first && { form: first.form, button: first.buttons.find((one) => !no.test(words(one))) };
}

/** Fills in a form: the request that pressing `button` makes. */
export function fill({ form, button }, page, { fields, untick = [] }) {
  const data = new URLSearchParams();
  for (const [name, value, type] of form.fields) {
    if (type === 'checkbox' && untick.includes(value)) continue;
    const typed = !/^(hidden|checkbox|radio|select)$/.test(type) && fields.has(name);
    data.append(name, typed ? fields.get(name) : value);
  }
  if (button?.name) data.append(button.name, button.value ?? '');
  const url = new URL(button?.formaction ?? form.attributes.action ?? '', page);
  const method = (button?.formmethod ?? form.attributes.method ?? 'get').toUpperCase();
  if (method !== 'POST') { url.search = data.toString(); return { url, method: 'GET' }; }
  return { url, method, body: data.toString() };
}

async function request(url, options) {
  for (let attempt = 0; ; attempt++) {
    try { return await fetch(url, options); } catch (error) {
      // A callback listener may open its port a moment after it gave the URL away.
      if (error.cause?.code !== 'ECONNREFUSED' || attempt >= 20) throw new Stuck(`could not fetch ${url.origin}: ${error.cause?.code ?? error.message}`);
      await new Promise((wake) => setTimeout(wake, 100));
    }
  }
}

const isCallback = (url, redirectUri) => {
  if (!redirectUri) return false;
  const wanted = new URL(redirectUri);
  return url.origin === wanted.origin && url.pathname === wanted.pathname;
};

/**
 * Goes from `start` to the callback and returns `{ url, status, pages }`; throws when it gets stuck.
 * `cookies` may be shared between calls: then it is the same browser.
 */
export async function browse(start, { fields = new URLSearchParams(defaultFields), connector, untick, deny, add, fetchCallback = true, cookies = new Cookies(), log = () => {} } = {}) {
  let next = { url: new URL(start), method: 'GET' };
  for (const [name, value] of new URLSearchParams(add ?? '')) next.url.searchParams.set(name, value);
  const redirectUri = next.url.searchParams.get('redirect_uri');
  const pages = [];
  let page, policy = '', formActions = [], chain = [];
  for (let step = 0; step < STEPS; step++) {
    const { url, method, body } = next;
    chain.push(url);
    const callback = step > 0 && isCallback(url, redirectUri);
    for (const sources of formActions) if (!formActionAdmits(sources, url, page)) throw new Stuck(`the page's CSP form-action (${sources.join(' ')}) does not let a browser go to ${url.origin}`);
    if (callback && !fetchCallback) { log('callback (not fetched)', url.href); return { url, pages }; }
    const fetchedFrom = fetchSite(page, chain), crossSite = fetchedFrom === 'cross-site';
    const headers = { accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'accept-language': 'en', 'user-agent': 'Mozilla/5.0 (consent.mjs)', 'sec-fetch-site': fetchedFrom, 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document', 'sec-fetch-user': '?1', 'upgrade-insecure-requests': '1' };
    const jar = cookies.header(url, { method, crossSite });
    if (jar) headers.cookie = jar;
    if (body !== undefined) Object.assign(headers, { 'content-type': 'application/x-www-form-urlencoded', origin: originOf(page, policy, url) });
    const response = await request(url, { method, headers, body, redirect: 'manual' });
    cookies.store(url, response, { crossSite });
    log(step, method, url.origin + url.pathname, '->', response.status);
    if ([301, 302, 303, 307, 308].includes(response.status) && response.headers.get('location')) {
      const keeps = response.status >= 307;
      next = { url: new URL(response.headers.get('location'), url), method: keeps ? method : 'GET', body: keeps ? body : undefined };
      continue;
    }
    if (callback) { log('callback delivered', response.status); return { url, status: response.status, pages }; }
    const html = await response.text();
    pages.push({ url, status: response.status, text: textOf(html), headers: response.headers });
    page = url; chain = [];
    policy = (response.headers.get('referrer-policy') ?? 'strict-origin-when-cross-origin').split(',').at(-1).trim();
    const chosen = choose(formsOf(html), { connector, deny });
    if (!chosen) {
      const refresh = refreshOf(html);
      if (!refresh) throw new Stuck(`no form to submit on a page with status ${response.status}: ${textOf(html).slice(0, 600)}`);
      next = { url: new URL(refresh, url), method: 'GET' }; formActions = [];
      continue;
    }
    if (!chosen.button && chosen.form.buttons.length) throw new Stuck(`every button of the form is disabled: ${textOf(html).slice(0, 300)}`);
    next = fill(chosen, url, { fields, untick });
    formActions = formActionsOf(response);
  }
  throw new Stuck(`no callback after ${STEPS} steps`);
}

if (process.argv[1] && fs.realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const { BOT_FIELDS, BOT_CONNECTOR, BOT_UNTICK, BOT_DENY, BOT_ADD, BOT_PRINT, BOT_LOG } = process.env;
  const log = (...parts) => { const line = `[browser] ${parts.join(' ')}\n`; if (BOT_LOG) fs.appendFileSync(BOT_LOG, line); else process.stderr.write(line); };
  try {
    const { url } = await browse(process.argv[2], {
      fields: new URLSearchParams(BOT_FIELDS ?? defaultFields), connector: BOT_CONNECTOR, untick: BOT_UNTICK?.split(' '),
      deny: Boolean(BOT_DENY), add: BOT_ADD, fetchCallback: !BOT_PRINT, log,
    });
    if (BOT_PRINT) process.stdout.write(`${url.href}\n`);
  } catch (error) {
    log(error instanceof Stuck ? error.message : error.stack);
    process.exitCode = 1;
  }
}
