import t, { type Test } from 'tap';
import { sendPieces } from '../../lib/http/send-pieces.js';
import { ask, talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, errorsOf, eventually, everywhere, startHttp } from '../fixtures/http-server.js';

const piece = 'é'.repeat(10_000);
const type = 'text/plain; charset=utf-8';

/** A server that answers every path with so many pieces, and tells how many of them were made. */
async function serve(t: Test, count: number, failAt = -1) {
  const made = { count: 0, ended: false };
  async function* pieces() {
    try {
      for (let index = 0; index < count; index += 1) {
        if (index === failAt) throw new Error('the disk fails');
        made.count += 1;
        yield piece;
      }
    } finally {
      made.ended = true;
    }
    await Promise.resolve();
  }
  const server = await startHttp(
    t,
    everywhere((exchange) => sendPieces(exchange, type, pieces(), { Vary: 'Accept' })),
  );
  return { ...server, made };
}

t.test('a short text comes with its length, in bytes', async (t) => {
  for (const count of [0, 1, 6]) {
    const { url } = await serve(t, count);
    const { status, headers, text } = await ask(url, '/');
    t.equal(status, 200);
    t.equal(text, piece.repeat(count));
    t.match(headers, { 'content-type': type, 'content-length': `${20_000 * count}`, vary: 'Accept' });
    t.notHas(headers, 'transfer-encoding');
  }
});

t.test('a long text comes whole, chunked, and the connection is kept', async (t) => {
  const { url } = await serve(t, 300);
  const { status, headers, text, complete } = await ask(url, '/');
  t.same([status, complete], [200, true]);
  t.ok(text === piece.repeat(300));
  t.match(headers, { 'content-type': type, 'transfer-encoding': 'chunked', vary: 'Accept' });
  t.notHas(headers, 'content-length');
  const connection = await Connection.open(url);
  for (const answers of [1, 2]) {
    connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await connection.until((received) => received.split('\r\n0\r\n\r\n').length === answers + 1);
  }
  connection.socket.destroy();
});

t.test('HTTP/1.0 knows no chunks: the end of the connection is the end of the text', async (t) => {
  const { url } = await serve(t, 100);
  const answer = await talk(url, 'GET / HTTP/1.0\r\n\r\n');
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  t.match(head, /^HTTP\/1\.1 200 /);
  t.notMatch(head, /transfer-encoding/i);
  t.ok(body === Buffer.from(piece.repeat(100)).toString('latin1'));
});

t.test('HEAD has the headers of GET and no body, and a long text is not made for it', async (t) => {
  for (const count of [1, 1000]) {
    const { url, made } = await serve(t, count);
    const read = await ask(url, '/');
    made.count = 0;
    const head = await ask(url, '/', { method: 'HEAD' });
    t.same({ ...head.headers, date: '' }, { ...read.headers, date: '' });
    t.same([head.status, head.body.length], [200, 0]);
    t.ok(made.count < 10, `${made.count} pieces of ${count}`);
    t.ok(made.ended);
  }
  const { url } = await serve(t, 1000);
  const connection = await Connection.open(url);
  connection.send('HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
  const heads = await connection.until((text) => text.split('\r\n\r\n').length === 3);
  t.equal(heads.match(/HTTP\/1\.1 200/g)?.length, 2, 'and the connection is kept');
  connection.socket.destroy();
  const old = await talk(url, 'HEAD / HTTP/1.0\r\n\r\n');
  t.match(old, /^HTTP\/1\.1 200 [^]*\r\n\r\n$/);
});

t.test('a client that does not read is waited for, and one that leaves ends the work', async (t) => {
  const { url, made, lines } = await serve(t, 10_000);
  const connection = await Connection.open(url);
  connection.socket.pause();
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  let before = -1;
  t.ok(
    await eventually(async () => {
      if (made.count > 0 && made.count === before) return true;
      before = made.count;
      await new Promise((resolve) => setTimeout(resolve, 50));
      return false;
    }),
    'the work stands still',
  );
  t.ok(made.count < 5000, `${made.count} pieces`);
  connection.socket.destroy();
  t.ok(await eventually(() => made.ended));
  t.same(errorsOf(lines), []);
});

t.test('a client that has left before it began gets nothing made', async (t) => {
  const left = deferred();
  const asked = deferred();
  const made = { count: 0 };
  // eslint-disable-next-line @typescript-eslint/require-await
  async function* pieces() {
    for (; made.count < 1000; made.count += 1) yield piece;
  }
  const { url, lines } = await startHttp(
    t,
    everywhere(async (exchange) => {
      asked.resolve();
      exchange.closed.addEventListener('abort', () => left.resolve());
      await left.promise;
      await sendPieces(exchange, type, pieces(), {});
    }),
  );
  const connection = await Connection.open(url);
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await asked.promise;
  connection.socket.resetAndDestroy();
  await left.promise;
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.ok(made.count < 10, `${made.count} pieces`);
  t.same(errorsOf(lines), []);
});

t.test('what fails before anything has gone out is an error, and later cuts the connection', async (t) => {
  const early = await serve(t, 1000, 1);
  t.match(await ask(early.url, '/'), { status: 500, headers: { 'content-type': 'application/json' } });
  const late = await serve(t, 1000, 500);
  const { status, complete } = await ask(late.url, '/');
  t.same([status, complete], [200, false]);
  for (const { lines } of [early, late]) t.match(errorsOf(lines)[0], 'the disk fails');
});
