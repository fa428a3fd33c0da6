// One line per test, and a closing line that says how many passed and how many failed.
import { cleanUp } from './sekisho.mjs';

const results = [];

/** Runs one test; a failure is told at once and the next test goes on. */
export async function test(name, body) {
  const begin = process.hrtime.bigint();
  let complaint;
  try { await body(); } catch (error) { complaint = error; }
  const seconds = (Number(process.hrtime.bigint() - begin) / 1e9).toFixed(1);
  results.push(!complaint);
  process.stdout.write(`${complaint ? '  FAILED' : '  passed'}  ${seconds.padStart(5)} s  ${name}\n`);
  if (complaint) process.stdout.write(`${String(complaint.stack ?? complaint).replace(/^/gm, '      ')}\n`);
}

/** Cleans up and prints the closing line. A run without a test has failed. */
export async function finish(title) {
  await cleanUp();
  const passed = results.filter(Boolean).length, failed = results.length - passed;
  process.stdout.write(`${title}: ${passed} passed, ${failed} failed\n`);
  process.exitCode = failed || !passed ? 1 : 0;
}
