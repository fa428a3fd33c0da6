// For `conformance server`, which cannot send an Authorization header: a proxy that adds it.
//
//   TOKEN=… TARGET=http://localhost:8080 [BASE=/notes] [LISTEN=0] node bearer-shim.mjs
//
// * adds `Authorization: Bearer $TOKEN`
// * re-points Host and Origin at TARGET only when they name the shim itself, so that the suite's probe of
//   DNS rebinding (`evil.example.com`) reaches the gateway unchanged
// * BASE is put before the path; streams are not buffered; a client that hangs up closes the other side too
// * DROP=<header> and BUFFER=1 spoil it on purpose: a header that does not pass, an answer that is kept until its end
// The first line printed is `listening <url>`.
import http from 'node:http';
import https from 'node:https';

const target = new URL(process.env.TARGET);
const base = (process.env.BASE ?? '').replace(/\/$/, '');
const hopByHop = new Set(['connection', 'keep-alive', 'transfer-encoding', 'te', 'trailer', 'upgrade']);
const dropped = process.env.DROP;
const client = target.protocol === 'https:' ? https : http;

const server = http.createServer((request, response) => {
  const { port } = server.address();
  const mine = new Set([`localhost:${port}`, `127.0.0.1:${port}`, `[::1]:${port}`]);
  const headers = [];
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    const name = request.rawHeaders[i], lower = name.toLowerCase();
    let value = request.rawHeaders[i + 1];
    if (hopByHop.has(lower) || lower === 'authorization' || lower === dropped) continue;
    if (lower === 'host' && mine.has(value)) value = target.host;
    if (lower === 'origin' && [...mine].some((host) => value === `http://${host}`)) value = target.origin;
    headers.push(name, value);
  }
  headers.push('Authorization', `Bearer ${process.env.TOKEN}`);
  if (request.headers['transfer-encoding']) headers.push('Transfer-Encoding', 'chunked');
  const onward = client.request(
    { host: target.hostname, port: target.port || undefined, method: request.method, path: base + request.url, headers, setHost: false },
    (answer) => {
      const back = [];
      for (let i = 0; i < answer.rawHeaders.length; i += 2)
        if (!hopByHop.has(answer.rawHeaders[i].toLowerCase()) && answer.rawHeaders[i].toLowerCase() !== dropped) back.push(answer.rawHeaders[i], answer.rawHeaders[i + 1]);
      response.writeHead(answer.statusCode, back);
      if (process.env.BUFFER) {
        const kept = [];
        answer.on('data', (chunk) => kept.push(chunk)).on('end', () => response.end(Buffer.concat(kept)));
      } else {
        response.flushHeaders();
        answer.pipe(response);
      }
      answer.on('error', () => response.destroy());
    },
  );
  onward.on('error', () => { if (!response.headersSent) response.writeHead(502); response.end(); });
  response.on('close', () => onward.destroy());
  request.pipe(onward);
});
server.listen(Number(process.env.LISTEN ?? 0), 'localhost', () => console.log(`listening http://localhost:${server.address().port}`));
