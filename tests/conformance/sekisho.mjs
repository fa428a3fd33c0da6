// Starts the built binary for the runners, and ends whatever they started. One folder, one free port, nothing shared.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';

export const binary = () => {
  const named = process.env.SEKISHO_BIN;
  if (!named || !fs.existsSync(named)) throw new Error(`SEKISHO_BIN does not name the built binary: ${named ?? 'not set'}`);
  return named;
};

const listening = (options) => new Promise((resolve, reject) => {
  const server = net.createServer().once('error', reject);
  server.listen(options, () => { const { port } = server.address(); server.close(() => resolve(port)); });
});

/** A port that is free on both loopback addresses, as far as this machine has them. */
export async function freePort() {
  for (let attempt = 0; attempt < 20; attempt++) {
    const port = await listening({ host: '127.0.0.1', port: 0 });
    try { await listening({ host: '::1', port }); return port; } catch (error) {
      if (error.code === 'EADDRNOTAVAIL' || error.code === 'EAFNOSUPPORT') return port;
    }
  }
  throw new Error('no free port');
}

const started = new Set();
const folders = new Set();

/** A folder that is removed at the end, unless KEEP is set. */
export function temporaryFolder(name) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `sekisho-${name}-`));
  folders.add(folder);
  return folder;
}

/**
 * Starts a program and waits for the line that matches `ready` (its first group is returned as `said`), or for `probe`
 * to answer. What it writes goes to `log`.
 */
export async function start(command, args, { env = {}, cwd, ready, probe, log, patience = 30_000 } = {}) {
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
  started.add(child);
  const out = fs.createWriteStream(log);
  let text = '', said;
  const gone = new Promise((resolve) => child.once('exit', (code, signal) => { started.delete(child); resolve(code ?? signal); }));
  let ended;
  gone.then((code) => { ended = code; });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => { out.write(chunk); text = (text + chunk).slice(-20_000); said ??= ready && text.match(ready)?.[1]; });
  const deadline = Date.now() + patience;
  const tail = () => text.trim().split('\n').slice(-15).join('\n');
  while (!(ready ? said : await probe())) {
    if (ended !== undefined) throw Object.assign(new Error(`${path.basename(command)} ended (${ended}) before it was ready:\n${tail()}`), { text });
    if (Date.now() > deadline) { child.kill('SIGKILL'); throw new Error(`${path.basename(command)} was not ready within ${patience / 1000} s:\n${tail()}`); }
    await new Promise((wake) => setTimeout(wake, 20));
  }
  const stop = async (signal = 'SIGTERM') => {
    if (ended === undefined) child.kill(signal);
    const late = setTimeout(() => child.kill('SIGKILL'), 10_000);
    const code = await gone;
    clearTimeout(late);
    return code;
  };
  return { said, stop, child, tail };
}

/** Ends every program still running and removes the folders. */
export async function cleanUp() {
  await Promise.all([...started].map((child) => new Promise((gone) => { child.once('exit', gone); child.kill('SIGTERM'); setTimeout(() => child.kill('SIGKILL'), 5_000).unref(); })));
  if (process.env.KEEP) return;
  // The children of a browser write for a moment after it has ended.
  for (const folder of folders) {
    // A folder that stays behind says nothing about what was tested.
    try { fs.rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 }); } catch (error) { console.warn(`left behind: ${error.message}`); }
  }
}

const secretFile = (folder, name, text) => { fs.writeFileSync(path.join(folder, name), text, { mode: 0o600 }); return name; };
const answers = async (url) => { try { return (await fetch(url)).ok; } catch { return false; } };

const listeners = async (port) => {
  try { await listening({ host: '::1', port: 0 }); return [`127.0.0.1:${port}`, `[::1]:${port}`]; } catch { return [`127.0.0.1:${port}`]; }
};

/** The host of a client's metadata document over TLS: `said` is the URL, `sections` what the configuration must say of it. */
export async function metadataHost() {
  const folder = temporaryFolder('metadata-host'), authority = path.join(folder, 'authority.pem');
  const program = process.env.CLIENT_METADATA_HOST;
  if (!program || !fs.existsSync(program)) throw new Error(`CLIENT_METADATA_HOST does not name the built program: ${program ?? 'not set'}`);
  const running = await start(program, [authority], { ready: /^serving (\S+)/m, log: path.join(folder, 'log') });
  return { ...running, sections: `[client_id_metadata_documents]\nca_file = "${authority}"\nprivate_hosts = ["${new URL(running.said).host}"]\n` };
}

/** `sekisho serve` with a configuration made of the usual head and `sections` (TOML), and beside it these `files` by name. */
export async function serve(name, sections, { port, env, files = {} } = {}) {
  const folder = temporaryFolder(name);
  const chosen = port ?? (await freePort());
  const url = `http://localhost:${chosen}`;
  secretFile(folder, 'master.key', `${randomBytes(32).toString('base64url')}\n`);
  secretFile(folder, 'provider.secret', 'a-secret-for-tests-only-0123456789abcdef\n');
  for (const [file, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, file)), { recursive: true });
    fs.writeFileSync(path.join(folder, file), text);
  }
  const config = path.join(folder, 'sekisho.toml');
  fs.writeFileSync(config, `public_url = "${url}"
listen = ${JSON.stringify(await listeners(chosen))}
master_key_file = "master.key"
default_server = "notes"

[store]
sqlite = "sekisho.db"

${sections}`);
  const running = await start(binary(), ['serve', '--config', config], { cwd: folder, env, probe: () => answers(`${url}/readyz`), log: path.join(folder, 'sekisho.log') });
  return { ...running, url, folder, audit: () => auditOf(config) };
}

/** `sekisho demo` in a folder of its own, on a port that it chose. */
export async function demo() {
  const folder = temporaryFolder('demo'), data = path.join(folder, 'data');
  const running = await start(binary(), ['demo', '--port', '0', '--data', data], { cwd: folder, ready: /(http:\/\/localhost:\d+)/, log: path.join(folder, 'sekisho.log') });
  return { ...running, url: running.said, folder, audit: () => auditOf(path.join(data, 'sekisho.toml')) };
}

/** The audit events, oldest first, as `sekisho audit --json` prints them. */
async function auditOf(config) {
  const child = spawn(binary(), ['audit', '--json', '--limit', '0', '--config', config], { stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '', complaint = '';
  child.stdout.on('data', (chunk) => { text += chunk; });
  child.stderr.on('data', (chunk) => { complaint += chunk; });
  const code = await new Promise((gone) => child.once('close', gone));
  if (code !== 0) throw new Error(`sekisho audit ended with ${code}: ${complaint.trim()}`);
  return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
}
