import { Writable } from 'node:stream';
import t from 'tap';
import { discardBody, lingerLimits } from '../../lib/http/linger.js';
import { ask, talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, errorsOf, everywhere, readAll, startHttp } from '../fixtures/http-server.js';

/** Discards the body, and answers with whether it came whole. */
const discarding = (limits?: typeof lingerLimits) =>
  everywhere(async ({ request, response }) => {
    await discardBody(request, limits);
    response.end(`whole: ${request.complete}\n`);
  });

const put = (length: number) => `PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ${length}\r\n\r\n`;

t.test('an unwanted body is read for half a minute, and for five seconds of silence', (t) => {
  t.same(lingerLimits, { total: 30_000, idle: 5_000 });
  t.end();
});

t.test('a body is discarded to its end', async (t) => {
  const { url } = await startHttp(t, discarding());
  t.equal((await ask(url, '/', { method: 'PUT', body: Buffer.alloc(4 * 1024 * 1024) })).text, 'whole: true\n');
});

t.test('a request without a body, and one whose body has been read, have nothing to discard', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(async ({ request, response }) => {
      await readAll(request);
      await discardBody(request);
      response.end('done');
    }),
  );
  t.equal((await ask(url, '/')).text, 'done');
  t.equal((await ask(url, '/', { method: 'PUT', body: 'body' })).text, 'done');
});

t.test('a body that somebody has begun to read and paused is discarded too', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(async ({ request, response }) => {
      await new Promise((resolve) => request.once('data', resolve));
      request.pause();
      await discardBody(request);
      response.end(`whole: ${request.complete}\n`);
    }),
  );
  t.equal((await ask(url, '/', { method: 'PUT', body: Buffer.alloc(4 * 1024 * 1024) })).text, 'whole: true\n');
});

t.test('so is one that flows into something that takes no more', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(async ({ request, response }) => {
      const stuck = new Writable({ write: () => undefined });
      request.pipe(stuck);
      await new Promise((resolve) => request.once('data', resolve));
      await discardBody(request);
      response.end(`whole: ${request.complete}\n`);
    }),
  );
  t.equal((await ask(url, '/', { method: 'PUT', body: Buffer.alloc(4 * 1024 * 1024) })).text, 'whole: true\n');
});

t.test('a client that stops sending ends it', async (t) => {
  const { url } = await startHttp(t, discarding({ total: 60_000, idle: 50 }));
  t.match(await talk(url, `${put(1000)}a few bytes`), /whole: false\n$/);
});

t.test('a client that sends for ever ends it', async (t) => {
  const { url } = await startHttp(t, discarding({ total: 200, idle: 60_000 }));
  const connection = await Connection.open(url);
  connection.send(put(1_000_000));
  const trickle = setInterval(() => connection.send('x'), 10);
  t.teardown(() => clearInterval(trickle));
  t.match(await connection.until('whole'), /whole: false\n/);
  connection.socket.destroy();
});

t.test('a client that is slow but goes on does not end it', async (t) => {
  const { url } = await startHttp(t, discarding({ total: 60_000, idle: 500 }));
  const connection = await Connection.open(url);
  connection.send(put(12));
  let sent = 0;
  const trickle = setInterval(() => {
    if (++sent <= 12) connection.send('x');
  }, 60);
  t.teardown(() => clearInterval(trickle));
  t.match(await connection.closed, /whole: true\n$/);
});

t.test('a client that goes away ends it', async (t) => {
  const [began, ended, closed] = [deferred(), deferred(), deferred()];
  const { url, lines } = await startHttp(
    t,
    everywhere(async ({ request, response }) => {
      response.once('close', () => closed.resolve());
      began.resolve();
      await discardBody(request);
      await discardBody(request);
      ended.resolve();
    }),
  );
  const connection = await Connection.open(url);
  connection.send(`${put(1000)}a few bytes`);
  await began.promise;
  connection.socket.destroy();
  await Promise.all([ended.promise, closed.promise]);
  t.same(errorsOf(lines), []);
});
