import t, { type Test } from 'tap';
import type { Exchange } from '../../lib/http/exchange.js';
import { send } from '../../lib/http/reply.js';
import { answersOf, statusesOf } from '../fixtures/answers.js';
import { Connection } from '../fixtures/connection.js';
import { type TestServer, deferred, eventually, everywhere, startHttp } from '../fixtures/http-server.js';

const agent = 'User-Agent: iPXE/1.21.1+ (g988d2)\r\n';
const get = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;

/** Requests that are held until they are told to end, by their path. */
class Held {
  readonly asked: string[] = [];
  readonly #ends = new Map<string, () => void>();

  readonly answer = async (exchange: Exchange): Promise<void> => {
    const name = exchange.path.join('/');
    this.asked.push(name);
    const end = deferred();
    this.#ends.set(name, end.resolve);
    await end.promise;
    send(exchange, 200, 'text/plain', `answer to ${name}`);
  };

  async until(name: string): Promise<void> {
    if (!(await eventually(() => this.asked.includes(name)))) throw new Error(`${name} was not asked for`);
  }

  end(name: string): void {
    this.#ends.get(name)?.();
  }
}

/** A server with few places whose answers are held. */
async function startHeld(t: Test, maxConnections: number, httpTimeout = 60_000) {
  const held = new Held();
  const times = { promised: 20 };
  const test = await startHttp(t, everywhere(held.answer), httpTimeout, { maxConnections, times });
  return { ...test, held };
}

async function open(t: Test, url: string, bytes?: string): Promise<Connection> {
  const connection = await Connection.open(url);
  t.teardown(() => connection.socket.destroy());
  if (bytes !== undefined) connection.send(bytes);
  return connection;
}

/** Opens a connection that waits in line: the next one to come is behind it. */
async function waiting(t: Test, { url, server }: TestServer, bytes: string): Promise<Connection> {
  const { connections } = server;
  const connection = await open(t, url, bytes);
  await eventually(() => server.connections === connections + 1);
  // Behind an answer to somebody else its own bytes have been read, too.
  await (
    await open(t, url, get('/', agent))
  ).closed;
  return connection;
}

t.test('who comes when all places are taken waits, and is answered in turn', async (t) => {
  const test = await startHeld(t, 2);
  const { held, url } = test;
  const [a, b] = [await open(t, url, get('/a')), await open(t, url, get('/b'))];
  await held.until('a');
  await held.until('b');
  const c = await waiting(t, test, get('/c'));
  const d = await waiting(t, test, get('/d'));
  t.same(held.asked, ['a', 'b']);
  held.end('b');
  const [first] = answersOf(await b.closed);
  t.equal(first?.body, 'answer to b');
  t.match(first?.head, /^connection: close\r$/im, 'somebody waits for its place');
  await held.until('c');
  t.same(held.asked, ['a', 'b', 'c']);
  a.socket.resetAndDestroy();
  await held.until('d');
  held.end('c');
  held.end('d');
  t.match(await c.until('answer to c'), /^connection: keep-alive\r$/im, 'nobody waits any more');
  t.match(await d.until('answer to d'), /^connection: keep-alive\r$/im);
});

t.test('iPXE is told to come again, and how soon', async (t) => {
  const { held, url } = await startHeld(t, 1);
  await open(t, url, get('/a'));
  await held.until('a');
  for (const bytes of [get('/b', agent), `GET /b HTTP/1.0\r\n${agent}\r\n`]) {
    const [answer, ...others] = answersOf(await (await open(t, url, bytes)).closed);
    t.same([answer?.status, others], [503, []]);
    t.match(answer?.head, /^retry-after: \d+\r$/im);
    t.match(answer?.head, /^connection: close\r$/im);
    t.match(answer?.head, /^content-type: application\/json\r$/im);
    t.match(JSON.parse(answer?.body ?? ''), { code: 'UNAVAILABLE', message: /./ });
  }
  const [head] = answersOf(await (await open(t, url, `HEAD /b HTTP/1.1\r\nHost: a\r\n${agent}\r\n`)).closed);
  t.equal(head?.status, 503);
  t.same(held.asked, ['a']);
});

t.test('a connection keeps its place between its requests, until it has been idle for too long', async (t) => {
  const { held, url } = await startHeld(t, 1);
  const a = await open(t, url, get('/a'));
  await held.until('a');
  held.end('a');
  await a.until('answer to a');
  const b = await open(t, url, get('/b'));
  t.match(await a.closed, /answer to a$/, 'it is closed');
  await held.until('b');
  held.end('b');
  await b.until('answer to b');
});

t.test('a connection that says nothing takes no place', async (t) => {
  const { held, url, server } = await startHeld(t, 2);
  const silent = await Promise.all(Array.from({ length: 10 }, () => open(t, url)));
  t.ok(await eventually(() => server.connections === 10));
  await open(t, url, get('/a'));
  await held.until('a');
  silent[9]?.send(get('/b'));
  await held.until('b');
});

t.test('the line has an end: who comes behind it is told to come again, whoever it is', async (t) => {
  const test = await startHeld(t, 1);
  const { held, url } = test;
  await open(t, url, get('/a'));
  await held.until('a');
  const b = await waiting(t, test, get('/b'));
  t.same(statusesOf(await (await open(t, url, get('/c'))).closed), [503]);
  held.end('a');
  await held.until('b');
  held.end('b');
  await b.until('answer to b');
  t.same(held.asked, ['a', 'b']);
});

t.test('who waits and leaves is forgotten at once, however it leaves', async (t) => {
  const test = await startHeld(t, 1);
  const { held, server } = test;
  const a = await open(t, test.url, get('/a'));
  await held.until('a');
  const leave: ((connection: Connection) => void)[] = [
    ({ socket }) => socket.destroy(),
    ({ socket }) => socket.resetAndDestroy(),
    ({ socket }) => socket.end(),
  ];
  for (const [index, way] of leave.entries()) {
    const gone = await waiting(t, test, get(`/gone-${index}`));
    way(gone);
    t.ok(await eventually(() => server.connections === 1), `${index}`);
    const received = await gone.closed;
    t.same(statusesOf(received), index === 2 ? [503] : [], 'one that only stops sending is told');
  }
  held.end('a');
  t.match(await a.until('answer to a'), /^connection: keep-alive\r$/im, 'nobody waits');
  t.same(held.asked, ['a']);
});

t.test('who waits for longer than a connection may be silent is told so', async (t) => {
  const progress = everywhere(({ response }) => {
    response.write('x');
    const timer = setInterval(() => response.write('x'), 20);
    return new Promise<void>((resolve) => {
      response.once('close', () => {
        clearInterval(timer);
        resolve();
      });
    });
  });
  const { url } = await startHttp(t, progress, 200, { maxConnections: 1 });
  const a = await open(t, url, get('/a'));
  await a.until('x');
  const [answer] = answersOf(await (await open(t, url, get('/b'))).closed);
  t.equal(answer?.status, 503);
  t.match(answer?.head, /^retry-after: \d+\r$/im);
});

t.test('of who waits no more is read than the request', async (t) => {
  const test = await startHeld(t, 1);
  const { held } = test;
  const a = await open(t, test.url, get('/a'));
  await held.until('a');
  const upload = await waiting(t, test, 'PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 30000000\r\n\r\n');
  const rss = process.memoryUsage().arrayBuffers;
  upload.send(Buffer.alloc(30_000_000));
  await new Promise((resolve) => setTimeout(resolve, 100));
  t.ok(upload.socket.writableLength > 0, 'the client cannot get rid of its body');
  t.ok(process.memoryUsage().arrayBuffers - rss < 35_000_000, 'beyond what the client itself holds');
  held.end('a');
  await a.closed;
  await held.until('b');
  held.end('b');
  await upload.until('answer to b');
});

t.test('pipelined requests that wait are answered in order when their place is free', async (t) => {
  const test = await startHeld(t, 1);
  const { held } = test;
  const a = await open(t, test.url, get('/a'));
  await held.until('a');
  const b = await waiting(t, test, get('/b/1') + get('/b/2'));
  b.send(get('/b/3'));
  held.end('a');
  await a.closed;
  for (const name of ['b/1', 'b/2', 'b/3']) {
    await held.until(name);
    t.equal(held.asked.at(-1), name);
    held.end(name);
    await b.until(`answer to ${name}`);
  }
  t.same(statusesOf(b.received), [200, 200, 200]);
});

t.test('behind an answer that closes the connection no other request is begun', async (t) => {
  const test = await startHeld(t, 1);
  const { held } = test;
  const a = await open(t, test.url, get('/a/1') + get('/a/2'));
  await held.until('a/1');
  const b = await waiting(t, test, get('/b'));
  held.end('a/1');
  t.same(statusesOf(await a.closed), [200]);
  await held.until('b');
  held.end('b');
  await b.until('answer to b');
  t.same(held.asked, ['a/1', 'b']);
});

t.test('stopping: who waits is told to come again, and who is served is answered', async (t) => {
  const test = await startHeld(t, 1);
  const { held, server } = test;
  const a = await open(t, test.url, get('/a'));
  await held.until('a');
  const b = await waiting(t, test, get('/b'));
  const stopped = server.stop(20_000);
  t.same(statusesOf(await b.closed), [503]);
  held.end('a');
  const [answer] = answersOf(await a.closed);
  t.equal(answer?.body, 'answer to a');
  t.match(answer?.head, /^connection: close\r$/im);
  await stopped;
  t.equal(server.connections, 0);
  t.same(held.asked, ['a']);
});

t.test('a storm of clients is served by few places: each one is answered, none is forgotten', async (t) => {
  const answer = everywhere((exchange) => {
    send(exchange, 200, 'text/plain', 'here');
    return undefined;
  });
  const { url, server } = await startHttp(t, answer, 60_000, { maxConnections: 50, times: { promised: 10 } });
  const clients = Array.from({ length: 100 }, async () => {
    const connection = await open(t, url, get('/'));
    await connection.until((received) => statusesOf(received).length > 0);
    return statusesOf(connection.received)[0];
  });
  const statuses = await Promise.all(clients);
  t.equal(statuses.filter((status) => status === 200).length, 100);
  t.ok(server.connections <= 100);
});
