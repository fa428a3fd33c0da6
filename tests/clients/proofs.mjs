// A client that holds a key (RFC 9449) and pushes its requests (RFC 9126), with and without nonces, where both are demanded.
import assert from 'node:assert/strict';
import path from 'node:path';
import { test } from '../conformance/report.mjs';
import { freePort, serve, start, temporaryFolder } from '../conformance/sekisho.mjs';
import { node, run } from './program.mjs';

const sections = (nonces, upstream) => `[clients]
require_pushed_authorization_requests = true

[tokens]
dpop_nonces = ${nonces}
dpop_replays = "record"

[[identity_provider]]
id = "development"
kind = "development"

[[mcp_server]]
name = "notes"
url = "${upstream}"
access = ["group:engineering"]
dpop = "required"
`;

export async function withProofs() {
  for (const [nonces, alg] of [[false, 'ES256'], [true, 'Ed25519']]) {
    const port = await freePort(), url = `http://localhost:${port}`;
    const [program, ...file] = node('upstream.mjs');
    const upstream = await start(program, file, { env: { SEKISHO: url }, ready: /^listening (\S+)/m, log: path.join(temporaryFolder('upstream'), 'log') });
    const sekisho = await serve('proofs', sections(nonces, upstream.said), { port });
    await test(`oauth4webapi with a key (${alg}) and a pushed request, ${nonces ? 'nonces' : 'no nonces'}`, async () => {
      const seen = await run(node('oauth4webapi/client.mjs'), [`${url}/notes/mcp`, 'whoami'], { ALG: alg });
      assert.equal(seen.isError, false, seen.text);
      assert.deepEqual([seen.tokenTypes, seen.scope], [['dpop', 'dpop'], 'read'], 'the library writes the type in small letters');
      assert.deepEqual(seen.bearer, [401, 'DPoP'], 'without the proof the token opens nothing');
      assert.equal(seen.nonces > 0, nonces, `told a nonce ${seen.nonces} times`);
      const { claims, leaked } = JSON.parse(seen.text);
      assert.deepEqual(leaked, [], 'headers that must not reach the MCP server');
      assert.deepEqual([claims.name, claims.client_id, claims.scope], ['Alice Tanaka', seen.clientId, 'read']);
    });
    await sekisho.stop();
  }
}
