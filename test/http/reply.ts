import { createHash } from 'node:crypto';
import t from 'tap';
import { type ErrorCode, ServiceError } from '../../lib/errors.js';
import { pageHeaders, send, sendError, sendJson } from '../../lib/http/reply.js';
import { ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { errorsOf, everywhere, readAll, startHttp } from '../fixtures/http-server.js';

const taken = () => new ServiceError('EXISTS', 'Image already exists');

const refusing = everywhere((exchange, log) => sendError(exchange, taken(), log));

t.test('an answer has its type, its length in bytes and the headers that were given', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere((exchange) => {
      send(exchange, 201, 'text/plain; charset=utf-8', 'Grüße', { 'X-More': 'yes' });
      return undefined;
    }),
  );
  const answer = await ask(url, '/');
  t.equal(answer.status, 201);
  t.equal(answer.text, 'Grüße');
  t.match(answer.headers, { 'content-type': 'text/plain; charset=utf-8', 'content-length': '7', 'x-more': 'yes' });
});

t.test('HEAD gets the headers of GET and no body, also for an error', async (t) => {
  const value = everywhere((exchange) => {
    sendJson(exchange, 200, { a: 'ä' });
    return undefined;
  });
  for (const application of [value, refusing]) {
    const { url } = await startHttp(t, application);
    const get = await ask(url, '/');
    const head = await ask(url, '/', { method: 'HEAD' });
    t.equal(head.status, get.status);
    t.same({ ...head.headers, date: '' }, { ...get.headers, date: '' });
    t.equal(get.body.length, Number(get.headers['content-length']));
    t.equal(head.body.length, 0);
    t.equal(get.headers['cache-control'], 'no-store');
  }
});

t.test('each kind of error has its status', async (t) => {
  const statuses: [code: ErrorCode, status: number][] = [
    ['BAD_REQUEST', 400],
    ['UNAUTHORIZED', 401],
    ['FORBIDDEN', 403],
    ['NOT_FOUND', 404],
    ['METHOD_NOT_ALLOWED', 405],
    ['TIMEOUT', 408],
    ['EXISTS', 409],
    ['BUSY', 409],
    ['IN_USE', 409],
    ['LENGTH_REQUIRED', 411],
    ['TOO_LARGE', 413],
    ['UNSUPPORTED_MEDIA_TYPE', 415],
    ['DIGEST_MISMATCH', 422],
    ['NOT_AN_ISO', 422],
    ['TRUNCATED', 422],
    ['BROKEN_ISO', 422],
    ['UNSUPPORTED_ISO', 422],
    ['TOO_MANY_REQUESTS', 429],
    ['INTERNAL', 500],
    ['NOT_IMPLEMENTED', 501],
    ['BAD_GATEWAY', 502],
    ['UNAVAILABLE', 503],
    ['GATEWAY_TIMEOUT', 504],
    ['NO_SPACE', 507],
  ];
  const codes = new Map(statuses.map(([code]) => [code as string, code]));
  const { url } = await startHttp(
    t,
    everywhere((exchange, log) => {
      const code = codes.get(exchange.path[0] ?? '') ?? 'INTERNAL';
      sendError(exchange, new ServiceError(code, `because ${code}`), log);
    }),
  );
  for (const [code, status] of statuses) {
    const answer = await ask(url, `/${code}`);
    t.equal(answer.status, status, code);
    t.same(json(answer), { message: `because ${code}`, code });
    t.equal(answer.headers['content-type'], 'application/json');
    t.equal(answer.headers['retry-after'], ['UNAVAILABLE', 'BUSY'].includes(code) ? '5' : undefined, code);
  }
});

t.test('a client that sends its whole file before it reads still gets the status', async (t) => {
  const { url } = await startHttp(t, refusing);
  const size = 24 * 1024 * 1024;
  const connection = await Connection.open(url);
  connection.socket.pause();
  connection.send(`PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: ${size}\r\n\r\n`);
  await new Promise((resolve) => connection.socket.write(Buffer.alloc(size), resolve));
  connection.socket.resume();
  const received = await connection.closed;
  t.match(received, /^HTTP\/1\.1 409 Conflict\r\n/);
  t.match(received, /^connection: close\r$/im);
  t.match(received, /"message": "Image already exists",\n {2}"code": "EXISTS"\n}\n$/);
});

t.test('a refusal is complete before the body is, and the connection closes behind the body', async (t) => {
  const { url } = await startHttp(t, refusing);
  const connection = await Connection.open(url);
  connection.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n');
  const refusal = await connection.until('}\n');
  connection.send('0\r\n\r\n');
  t.equal(await connection.closed, refusal);
  t.match(refusal, /^HTTP\/1\.1 409 /);
});

t.test('who asks before sending is refused without a byte of the file', async (t) => {
  const { url } = await startHttp(t, refusing);
  const connection = await Connection.open(url);
  connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n');
  const refusal = await connection.until('}\n');
  t.match(refusal, /^HTTP\/1\.1 409 /, 'no 100 before it');
  connection.socket.end();
  t.equal(await connection.closed, refusal);
});

t.test('a client that gives up under a refusal disturbs nobody', async (t) => {
  const { url, lines } = await startHttp(t, refusing);
  const connection = await Connection.open(url);
  connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nsome of it');
  await connection.until('}\n');
  connection.socket.resetAndDestroy();
  t.equal((await ask(url, '/')).status, 409);
  t.same(errorsOf(lines), []);
});

t.test('a refusal of a request without a body leaves the connection usable', async (t) => {
  const { url } = await startHttp(t, refusing);
  const connection = await Connection.open(url);
  for (const [index, method] of ['GET', 'DELETE', 'PUT'].entries()) {
    const length = method === 'PUT' ? 'Content-Length: 0\r\n' : '';
    connection.send(`${method} / HTTP/1.1\r\nHost: a\r\n${length}\r\n`);
    const received = await connection.until((text) => text.split('}\n').length === index + 2);
    t.equal(received.match(/^HTTP\/1\.1 409 /gm)?.length, index + 1);
    t.notMatch(received, /^connection: close\r$/im);
  }
  connection.socket.destroy();
});

t.test('so does a refusal after the body has been read', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(async (exchange, log) => {
      await readAll(exchange.request);
      sendError(exchange, taken(), log);
    }),
  );
  const connection = await Connection.open(url);
  const put = 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody';
  connection.send(put);
  await connection.until('}\n');
  connection.send(put);
  t.notMatch(await connection.until((text) => text.split('}\n').length === 3), /^connection: close\r$/im);
  connection.socket.destroy();
});

t.test('an error after the answer has begun cuts the connection', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(async (exchange, log) => {
      await new Promise<void>((resolve) => exchange.response.write('part', () => resolve()));
      sendError(exchange, taken(), log);
    }),
  );
  const answer = await ask(url, '/');
  t.same([answer.status, answer.text, answer.complete], [200, 'part', false]);
});

t.test('a page of ours runs nothing, fetches nothing, has no style but its own, and is in no frame', (t) => {
  const headers = pageHeaders('body { margin: 0 }');
  t.match(headers, { 'X-Frame-Options': 'DENY', 'Referrer-Policy': 'same-origin' });
  const policy = headers['Content-Security-Policy']?.split('; ') ?? [];
  const hash = createHash('sha256').update('body { margin: 0 }').digest('base64');
  t.same(policy, [
    ...["default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
    `style-src 'sha256-${hash}'`,
  ]);
  t.end();
});
