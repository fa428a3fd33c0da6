// A real browser by its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/), as far as a walk needs it.
import fs from 'node:fs';
import path from 'node:path';
import { start, temporaryFolder } from './sekisho.mjs';

const PATIENCE = 40_000;

/** Starts Chromium without a window. `SEKISHO_CHROMIUM` names another program. */
export async function chromium() {
  const folder = temporaryFolder('chromium');
  const args = ['--headless=new', '--remote-debugging-port=0', `--user-data-dir=${folder}/profile`, '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', '--disable-gpu', '--disable-dev-shm-usage', '--hide-scrollbars'];
  // Its sandbox refuses to be started by root, as in a container.
  if (process.getuid?.() === 0) args.push('--no-sandbox');
  const browser = await start(process.env.SEKISHO_CHROMIUM ?? 'chromium', [...args, 'about:blank'], {
    ready: /DevTools listening on (ws:\S+)/, log: path.join(folder, 'chromium.log'),
  });
  const socket = new WebSocket(browser.said);
  await new Promise((open, fail) => { socket.onopen = open; socket.onerror = () => fail(new Error('no connection to Chromium')); });
  let last = 0;
  const waiting = new Map(), listeners = new Set();
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.id === undefined) { for (const listener of listeners) listener(message); return; }
    const { resolve, reject } = waiting.get(message.id);
    waiting.delete(message.id);
    if (message.error) reject(new Error(message.error.message)); else resolve(message.result);
  };
  const send = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    socket.send(JSON.stringify({ id: last, method, params, sessionId }));
  });
  const on = (listener) => { listeners.add(listener); return () => listeners.delete(listener); };
  return { person: (language) => person({ send, on }, language) };
}

/** A window of its own cookies, of somebody who reads `language`. */
async function person(devtools, language) {
  const { browserContextId } = await devtools.send('Target.createBrowserContext');
  return window(devtools, language, browserContextId);
}

async function window({ send, on }, language, browserContextId) {
  const { targetId } = await send('Target.createTarget', { url: 'about:blank', browserContextId });
  const { sessionId } = await send('Target.attachToTarget', { targetId, flatten: true });
  const page = (method, params) => send(method, params, sessionId);
  for (const domain of ['Page', 'Runtime', 'Network', 'Log']) await page(`${domain}.enable`);
  await page('Network.setExtraHTTPHeaders', { headers: { 'Accept-Language': language } });
  const complaints = [];
  on(({ sessionId: of, method, params }) => {
    if (of === sessionId && method === 'Log.entryAdded' && params.entry.source === 'security') complaints.push(params.entry.text);
  });
  const evaluate = async (expression) => {
    const { result, exceptionDetails } = await page('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
    return result.value;
  };
  /** Does something that leads to another page, and waits until that is there. */
  const leads = async (action) => {
    let off;
    const loaded = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error('no other page came')), PATIENCE);
      off = on(({ sessionId: of, method }) => { if (of === sessionId && method === 'Page.loadEventFired') { clearTimeout(late); resolve(); } });
    });
    loaded.catch(() => {});
    try { await action(); await loaded; } finally { off(); }
    return evaluate('location.href');
  };
  const mouse = (type, at, clickCount) => page('Input.dispatchMouseEvent', { type, ...at, button: 'left', clickCount });
  /** Clicks as a hand does, so often in a row: whatever lies there is hit. */
  const click = async (selector, times = 1) => {
    const at = await evaluate(`(() => { const it = document.querySelector(${JSON.stringify(selector)}); it.scrollIntoView({ block: 'center' });
      const box = it.getBoundingClientRect(); return { x: box.x + box.width / 2, y: box.y + box.height / 2 }; })()`);
    // Nobody waits for the answer to the first one.
    const sent = [];
    for (let count = 1; count <= times; count++) sent.push(mouse('mousePressed', at, count), mouse('mouseReleased', at, count));
    await Promise.allSettled(sent);
  };
  return {
    complaints, evaluate, leads, click,
    key: async (key, code = key) => { for (const type of ['keyDown', 'keyUp']) await page('Input.dispatchKeyEvent', { type, key, code, ...(key === 'Enter' ? { text: '\r', windowsVirtualKeyCode: 13 } : {}) }); },
    /** Another tab of the same browser. */
    tab: () => window({ send, on }, language, browserContextId),
    /** Before the eyes of the person; what was there before is hidden. */
    front: () => page('Page.bringToFront'),
    goto: (url) => leads(() => page('Page.navigate', { url })),
    press: (selector) => leads(() => evaluate(`document.querySelector(${JSON.stringify(selector)}).click()`)),
    type: (selector, text) => evaluate(`document.querySelector(${JSON.stringify(selector)}).value = ${JSON.stringify(text)}`),
    scheme: (value) => page('Emulation.setEmulatedMedia', { features: [{ name: 'prefers-color-scheme', value }] }),
    width: (width) => page('Emulation.setDeviceMetricsOverride', { width, height: 800, deviceScaleFactor: 1, mobile: false }),
    picture: async (file) => { fs.mkdirSync(path.dirname(file), { recursive: true }); fs.writeFileSync(file, Buffer.from((await page('Page.captureScreenshot', { captureBeyondViewport: true })).data, 'base64')); },
  };
}
