import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import type { Exchange } from '../../lib/http/exchange.js';
import { send } from '../../lib/http/reply.js';
import { createRouter } from '../../lib/http/router.js';
import { bindPort } from '../../lib/workers/port.js';
import { listen, serveSockets, type ConnectionOptions, type SocketServer } from '../../lib/http/server.js';
import { createLog } from '../../lib/log.js';
import { answersOf, statusesOf } from '../fixtures/answers.js';
import { ask, json, talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, eventually, everywhere, startHttp } from '../fixtures/http-server.js';

const text = (exchange: Exchange, body: string) => send(exchange, 200, 'text/plain', body);

/** Answers with what it understood of the URL. */
const echo = everywhere((exchange) => {
  text(exchange, JSON.stringify([exchange.path, exchange.endsWithSlash, [...exchange.query]]));
  return undefined;
});

/** The one answer to bytes that end in a closed connection, whose body has to be our JSON. */
async function refusal(t: Test, url: string, bytes: string): Promise<{ status: number; code: unknown }> {
  const [answer, ...others] = answersOf(await talk(url, bytes));
  t.same(others, [], 'one answer only');
  if (answer === undefined) return { status: 0, code: undefined };
  t.match(answer.head, /^connection: close\r$/im);
  t.match(answer.head, /^content-type: application\/json\r$/im);
  const { code, message } = JSON.parse(answer.body) as Record<string, unknown>;
  t.ok(typeof message === 'string' && message.length > 0);
  return { status: answer.status, code };
}

const limits = ['requestTimeout', 'headersTimeout', 'timeout', 'keepAliveTimeout'] as const;

/** The time limits of the server that answers at a URL. */
async function limitsOf(url: string): Promise<Record<string, unknown>> {
  const found: Record<string, unknown> = {};
  const seen = (message: unknown) => {
    if (typeof message !== 'object' || message === null || !('server' in message)) return;
    if (!(message.server instanceof Server)) return;
    for (const name of limits) found[name] = message.server[name];
  };
  subscribe('http.server.request.start', seen);
  await ask(url, '/');
  unsubscribe('http.server.request.start', seen);
  return found;
}

t.test('an idle connection is kept for more than a minute, and says so', async (t) => {
  const { url } = await startHttp(t, echo);
  const connection = await Connection.open(url);
  connection.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\n');
  t.match(await connection.until('first'), /^keep-alive: timeout=65\r$/im);
  await new Promise((resolve) => setTimeout(resolve, 100));
  connection.send('GET /second HTTP/1.1\r\nHost: a\r\n\r\n');
  await connection.until('second');
  connection.socket.destroy();
});

t.test('a request takes as long as httpTimeout allows, not the five minutes of Node', async (t) => {
  const hour = 3_600_000;
  const { url } = await startHttp(t, echo, hour);
  const common = { headersTimeout: 60_000, keepAliveTimeout: 65_000 };
  t.same(await limitsOf(url), { ...common, requestTimeout: hour, timeout: hour });
  const endless = await startHttp(t, echo, 0);
  t.same(await limitsOf(endless.url), { ...common, requestTimeout: 0, timeout: 0 });
  const short = await startHttp(t, echo, 1000);
  t.same(await limitsOf(short.url), { ...common, requestTimeout: 1000, headersTimeout: 1000, timeout: 1000 });
});

t.test('a header that trickles in is cut off with 408 when its time is over', async (t) => {
  const { url } = await startHttp(t, echo, 300);
  const connection = await Connection.open(url);
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n');
  const trickle = setInterval(() => connection.send('X-More: 1\r\n'), 40);
  t.teardown(() => clearInterval(trickle));
  const [answer] = answersOf(await connection.closed);
  t.equal(answer?.status, 408);
  t.match(answer?.head, /^HTTP\/1\.1 408 Request Timeout\r\n/);
  t.equal((JSON.parse(answer?.body ?? '{}') as Record<string, unknown>)['code'], 'TIMEOUT');
});

t.test('a body that does not arrive in time is told 408, unless its answer has begun', async (t) => {
  const awaiting = everywhere(({ request }) => new Promise((resolve) => request.once('close', resolve)));
  const { url } = await startHttp(t, awaiting, 300);
  const connection = await Connection.open(url);
  connection.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome');
  t.equal(answersOf(await connection.closed)[0]?.status, 408);

  const begun = everywhere(({ request, response }) => {
    response.write('begun');
    return new Promise((resolve) => request.once('close', resolve));
  });
  const other = await Connection.open((await startHttp(t, begun, 300)).url);
  other.send('PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome');
  const received = await other.closed;
  t.match(received, /begun/);
  t.notMatch(received, / 408 /);
});

t.test('a connection that falls silent in its header is cut too, and does not hold up the others', async (t) => {
  const { url } = await startHttp(t, echo, 200);
  const connection = await Connection.open(url);
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n');
  t.equal((await ask(url, '/')).status, 200);
  await connection.closed;
  t.equal((await ask(url, '/')).status, 200);
});

t.test('what is not HTTP gets 400 in JSON, and the connection is closed', async (t) => {
  const { url } = await startHttp(t, echo);
  const cases: [what: string, bytes: string][] = [
    ['garbage', 'garbage\r\n\r\n'],
    ['a TLS handshake', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['an unknown method', 'BREW /pot HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a target without a slash', 'GET x HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['an asterisk for a file', 'GET * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'],
    ['a header without a colon', 'GET / HTTP/1.1\r\nHost: a\r\nheader\r\n\r\n'],
    ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n'],
    ['Content-Length twice', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['a list of lengths', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nabcde'],
    ['a negative length', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n'],
    ['a length beyond 64 bits', 'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\n'],
    [
      'a length and chunks',
      'PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    ],
    ['a broken escape in the path', 'GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'],
    ['a way up in the path', 'GET /a/../b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'],
  ];
  for (const [what, bytes] of cases) {
    t.same(await refusal(t, url, bytes), { status: 400, code: 'BAD_REQUEST' }, what);
  }
  t.equal((await ask(url, '/')).status, 200, 'the server still answers');
});

t.test('a header that is too large gets 431', async (t) => {
  const { url } = await startHttp(t, echo);
  const bytes = `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`;
  t.same(await refusal(t, url, bytes), { status: 431, code: 'HEADER_TOO_LARGE' });
});

t.test(
  'two Host headers, and codings that a proxy may read otherwise, are refused and the connection closed',
  async (t) => {
    const { url } = await startHttp(t, echo);
    const cases: [bytes: string, status: number][] = [
      ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n', 400],
      ['GET / HTTP/1.1\r\n\r\n', 400],
      ['PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n', 501],
      ['PUT / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n', 400],
    ];
    for (const [bytes, status] of cases) {
      const smuggled = 'GET /smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n';
      const received = await talk(url, bytes + smuggled);
      t.same(statusesOf(received), [status], bytes);
      t.match(received, /^connection: close\r$/im, bytes);
    }
    const old = 'PUT / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n';
    t.same(await refusal(t, url, old), { status: 400, code: 'BAD_REQUEST' });
    const plain = 'PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\nConnection: close\r\n\r\n0\r\n\r\n';
    t.same(statusesOf(await talk(url, plain)), [200]);
  },
);

t.test('garbage behind requests is answered behind them, and cuts into none of their answers', async (t) => {
  const finish = deferred();
  const { url } = await startHttp(
    t,
    everywhere(async (exchange) => {
      exchange.request.resume();
      if (exchange.path[0] === 'begun')
        exchange.response.writeHead(200, { 'Content-Length': 21 }).write('first part\n');
      await finish.promise;
      if (exchange.response.headersSent) exchange.response.end('last part\n');
      else text(exchange, 'whole');
    }),
  );
  const get = (path: string) => `GET /${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const put = 'PUT /put HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody';
  const cases = [[get('begun')], [get('waiting')], [put], [get('begun'), get('waiting'), put]];
  const connections = await Promise.all(cases.map(() => Connection.open(url)));
  // What is broken in many pieces is broken once.
  for (const [index, requests] of cases.entries()) connections[index]?.send(`${requests.join('')}garbage\r\n\r\n`);
  await delay(50);
  for (const connection of connections) connection.send('more of it\r\n\r\n');
  await delay(50);
  finish.resolve();
  for (const [index, connection] of connections.entries()) {
    const requests = cases[index] ?? [];
    const statuses = statusesOf(await connection.closed);
    t.same(statuses, [...requests.map(() => 200), 400], requests.join(''));
  }
});

t.test('a body that turns out to be broken cuts the answer that is under way to it', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(({ response }) => {
      response.write('first part\n');
      return new Promise<void>((resolve) => response.once('close', resolve));
    }),
  );
  const connection = await Connection.open(url);
  connection.send('PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
  await connection.until('first part');
  connection.send('no length\r\n\r\n');
  const received = await connection.closed;
  t.notMatch(received, /HTTP\/1\.1 400/);
  t.notMatch(received, /\r\n0\r\n\r\n$/, 'cut, not ended');
});

t.test('garbage after an answer that has ended gets its 400', async (t) => {
  const { url } = await startHttp(t, echo);
  const connection = await Connection.open(url);
  connection.send('GET /a HTTP/1.1\r\nHost: a\r\n\r\n');
  await connection.until('["a"]');
  connection.send('garbage\r\n\r\n');
  t.same(statusesOf(await connection.closed), [200, 400]);
});

t.test('a URL with scheme and host is the same as its path', async (t) => {
  const { url } = await startHttp(t, echo);
  const cases: [target: string, path: string[], folder: boolean, query: [string, string][]][] = [
    ['http://host:9090/a/b%20c?x=1&y', ['a', 'b c'], false, [['x', '1'], ['y', '']]],
    ['HTTP://host/a/', ['a'], true, []],
    ['http://host', [], true, []],
    ['http://host?x=1', [], true, [['x', '1']]],
    ['//host/a?b?c', ['host', 'a'], false, [['b?c', '']]],
    ['/%C3%BC/./a//b/?q=%C3%BC+1', ['ü', 'a', 'b'], true, [['q', 'ü 1']]],
  ]; // prettier-ignore
  for (const [target, ...expected] of cases) {
    const [answer] = answersOf(await talk(url, `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`));
    t.same(JSON.parse(Buffer.from(answer?.body ?? '', 'latin1').toString()), expected, target);
  }
});

t.test('pipelined requests are answered one after the other: none costs anything before its turn', async (t) => {
  let working = 0;
  const { url } = await startHttp(
    t,
    everywhere(async (exchange) => {
      working += 1;
      t.equal(working, 1, `${exchange.path.join()} is alone`);
      if (exchange.path[0] === 'slow') await new Promise((resolve) => setTimeout(resolve, 50));
      text(exchange, exchange.path.join());
      working -= 1;
    }),
  );
  const request = (path: string, more = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
  const received = await talk(url, request('/slow') + request('/fast') + request('/last', 'Connection: close\r\n'));
  t.same(
    answersOf(received).map(({ body }) => body),
    ['slow', 'fast', 'last'],
  );
});

t.test('a client that pipelines without end is cut off', async (t) => {
  const { url } = await startHttp(
    t,
    everywhere(({ response }) => new Promise((resolve) => response.once('close', resolve))),
  );
  const connection = await Connection.open(url);
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3000));
  t.equal(await connection.closed, '');
});

t.test('a client that has closed its sending side still gets its answer', async (t) => {
  const finish = deferred();
  const { url } = await startHttp(
    t,
    everywhere(async (exchange) => {
      await finish.promise;
      text(exchange, 'late answer');
    }),
  );
  for (const version of ['1.1', '1.0']) {
    const connection = await Connection.open(url);
    connection.socket.end(`GET / HTTP/${version}\r\nHost: a\r\n\r\n`);
    setTimeout(() => finish.resolve(), 50);
    const [answer] = answersOf(await connection.closed);
    t.equal(answer?.body, 'late answer', version);
  }
  const connection = await Connection.open(url);
  connection.socket.end('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(3));
  t.same(statusesOf(await connection.closed), [200, 200, 200], 'and to all that it has asked');
});

t.test('a handler that breaks is answered with 500 and told to the log only', async (t) => {
  const { url, lines } = await startHttp(
    t,
    everywhere(() => {
      throw new Error('ENOENT: /secret/place');
    }),
  );
  const answer = await ask(url, '/');
  t.equal(answer.status, 500);
  t.same(json(answer), { message: 'Something went wrong in the service; its log says what', code: 'INTERNAL' });
  t.equal(lines.filter((line) => / error {4}internal error: Error: ENOENT: \/secret\/place/.test(line)).length, 1);
});

t.test('what no application answers is 404', async (t) => {
  const { url } = await startHttp(t, () => [() => Promise.resolve(false), () => Promise.resolve(false)]);
  const answer = await ask(url, '/');
  t.equal(answer.status, 404);
  t.match(json(answer), { code: 'NOT_FOUND' });
});

t.test('applications are asked in turn until one answers', async (t) => {
  const asked: string[] = [];
  const { url } = await startHttp(t, () => [
    () => {
      asked.push('first');
      return Promise.resolve(false);
    },
    (exchange) => {
      asked.push('second');
      text(exchange, 'second');
      return Promise.resolve(true);
    },
    () => {
      asked.push('third');
      return Promise.resolve(true);
    },
  ]);
  t.equal((await ask(url, '/')).text, 'second');
  t.same(asked, ['first', 'second']);
});

t.test('an Expect that nobody knows gets 417 in words', async (t) => {
  const { url } = await startHttp(t, echo);
  const answer = await ask(url, '/', { headers: { Expect: 'miracles' } });
  t.match({ status: answer.status, ...(json(answer) as object) }, { status: 417, message: /miracles.*100-continue/ });
});

t.test('OPTIONS and methods that a resource lacks are answered by the table of routes', async (t) => {
  const { url } = await startHttp(t, () => createRouter([['GET', '/a', (exchange) => text(exchange, 'a')]]));
  const options = await ask(url, '/a', { method: 'OPTIONS' });
  t.equal(options.status, 204);
  t.equal(options.headers.allow, 'GET, HEAD, OPTIONS');
  const patch = await ask(url, '/a', { method: 'PATCH' });
  t.equal(patch.status, 405);
  t.equal(patch.headers.allow, 'GET, HEAD, OPTIONS');
});

t.test('a URL with control characters is refused', async (t) => {
  const { url } = await startHttp(t, echo);
  const raw = (target: string) =>
    Buffer.from(`GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, 'latin1');
  for (const target of ['/\x9b2Jforged', '/\x85forged', '/\x1b[2Jforged', '/\tforged']) {
    t.same(statusesOf(await talk(url, raw(target))), [400], target);
  }
});

t.test('an exchange is closed when its connection is', async (t) => {
  const began = deferred();
  const closed = deferred();
  const { url } = await startHttp(
    t,
    everywhere(({ closed: signal }) => {
      began.resolve();
      return new Promise<void>((resolve) =>
        signal.addEventListener('abort', () => {
          closed.resolve();
          resolve();
        }),
      );
    }),
  );
  const connection = await Connection.open(url);
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await began.promise;
  connection.socket.resetAndDestroy();
  await closed.promise;
});

t.test('a port that is in use is said in words', async (t) => {
  const { server } = await startHttp(t, echo);
  const options = { address: '127.0.0.1', httpTimeout: 0, applications: [], log: createLog(5, () => undefined) };
  await t.rejects(listen({ ...options, port: server.port }), {
    name: 'ServiceError',
    code: 'BAD_REQUEST',
    message: new RegExp(`^Cannot listen on 127\\.0\\.0\\.1 port ${server.port}: .*in use`),
  });
  await t.rejects(listen({ ...options, address: '192.0.2.1', port: 0 }), ServiceError);
});

t.test('stopping: no new connections, idle ones closed at once, a request in flight ends whole', async (t) => {
  const arrived = deferred();
  const finish = deferred();
  const { url, server } = await startHttp(
    t,
    everywhere(async (exchange) => {
      if (exchange.path[0] !== 'slow') {
        text(exchange, 'fast');
        return;
      }
      exchange.response.write('first half, ');
      arrived.resolve();
      await finish.promise;
      exchange.response.end('second half');
    }),
  );
  const silent = await Connection.open(url);
  const idle = await Connection.open(url);
  idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await idle.until('fast');
  const busy = ask(url, '/slow');
  const kept = await Connection.open(url);
  kept.send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
  await arrived.promise;
  await kept.until('first half');
  const stopped = server.stop(20_000);
  await idle.closed;
  await silent.closed;
  await t.rejects(ask(url, '/'), { code: 'ECONNREFUSED' });
  finish.resolve();
  const answer = await busy;
  t.same([answer.text, answer.complete], ['first half, second half', true]);
  t.match(
    await kept.closed,
    /second half\r\n0\r\n\r\n$/,
    'a connection that is kept alive is closed behind its answer',
  );
  await stopped;
});

t.test('stopping cuts what does not end in time', async (t) => {
  const arrived = deferred();
  const { url, server } = await startHttp(
    t,
    everywhere(({ response }) => {
      response.write('part');
      arrived.resolve();
      return new Promise<void>((resolve) => response.once('close', resolve));
    }),
  );
  const cut = ask(url, '/');
  await arrived.promise;
  await server.stop(50);
  const { complete, text } = await cut;
  t.same([text, complete], ['part', false]);
});

t.test('an idle connection is closed when its time is over', async (t) => {
  const { url } = await startHttp(t, echo, 60_000, { times: { keepAlive: 50 } });
  const connection = await Connection.open(url);
  connection.send('GET /a HTTP/1.1\r\nHost: a\r\n\r\n');
  t.same(statusesOf(await connection.closed), [200]);
});

t.test('a header may take as long as a header may, however long a body may take', async (t) => {
  const { url } = await startHttp(t, echo, 3_600_000, { times: { header: 100 } });
  for (const first of ['', 'GET /a HTTP/1.1\r\nHost: a\r\n\r\n']) {
    const connection = await Connection.open(url);
    connection.send(`${first}GET / HTTP/1.1\r\nHost:`);
    t.same(statusesOf(await connection.closed).at(-1), 408);
  }
});

t.test('a client that stops reading for ever is ended, though something waits to be written', async (t) => {
  const ended = deferred();
  const { url } = await startHttp(
    t,
    everywhere(({ response, closed }) => {
      closed.addEventListener('abort', () => ended.resolve());
      // Far more than the buffers of a connection hold.
      response.end(Buffer.alloc(100_000_000));
    }),
    200,
  );
  const connection = await Connection.open(url);
  connection.socket.pause();
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await ended.promise;
  connection.socket.resume();
  t.ok((await connection.closed).length < 100_000_000, 'the answer is cut');
});

/** A server of a port that somebody else has opened. */
async function startShared(t: Test, options: Partial<ConnectionOptions>) {
  const log = createLog(0, () => undefined);
  const server: SocketServer = serveSockets({ applications: [echo(log)], httpTimeout: 60_000, log, ...options });
  const bound = await bindPort('127.0.0.1', 0);
  await server.listen(bound.socket);
  t.teardown(async () => {
    await server.stop(0);
    bound.close();
  });
  return { server, url: `http://127.0.0.1:${bound.port}` };
}

t.test('a connection of a port that was opened elsewhere is served as any other', async (t) => {
  const { server, url } = await startShared(t, {});
  const connection = await Connection.open(url);
  connection.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\n');
  await connection.until('first');
  connection.send('GET /second HTTP/1.1\r\nHost: a\r\n\r\n');
  await connection.until('second');
  t.equal(server.connections, 1);
  connection.socket.destroy();
  t.ok(await eventually(() => server.connections === 0));
  const halfClosed = await Connection.open(url);
  halfClosed.socket.end('GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(2));
  t.same(statusesOf(await halfClosed.closed), [200, 200]);
  t.same(statusesOf(await talk(url, 'garbage\r\n\r\n')), [400]);
});

t.test('and it is watched as any other: its header, its idle time, its place', async (t) => {
  const { server, url } = await startShared(t, { times: { header: 100, keepAlive: 50 } });
  const trickling = await Connection.open(url);
  trickling.send('GET / HTTP/1.1\r\nHost:');
  t.same(statusesOf(await trickling.closed), [408]);
  const idle = await Connection.open(url);
  idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  t.same(statusesOf(await idle.closed), [200]);
  t.ok(await eventually(() => server.connections === 0));
  const small = await startShared(t, { maxConnections: 1 });
  const first = await Connection.open(small.url);
  first.send('GET /first HTTP/1.1\r\nHost: a\r\n\r\n');
  await first.until('first');
  const ipxe = 'GET / HTTP/1.1\r\nHost: a\r\nUser-Agent: iPXE/1.0.0\r\n\r\n';
  t.same(statusesOf(await talk(small.url, ipxe)), [503]);
  first.socket.destroy();
});

t.test('stopping a server of such a port is stopping a server', async (t) => {
  const arrived = deferred();
  const finish = deferred();
  const slow = async (exchange: Exchange) => {
    if (exchange.path[0] === 'slow') {
      arrived.resolve();
      await finish.promise;
    }
    text(exchange, 'answer');
    return true;
  };
  const { server, url } = await startShared(t, { applications: [slow] });
  const unused = await Connection.open(url);
  const idle = await Connection.open(url);
  idle.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await idle.until('answer');
  const busy = await Connection.open(url);
  busy.send('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
  await arrived.promise;
  t.equal(server.connections, 3);
  const stopped = server.stop(20_000);
  await Promise.all([idle.closed, unused.closed]);
  await t.rejects(Connection.open(url), { code: 'ECONNREFUSED' }, 'nobody comes in any more');
  finish.resolve();
  t.same(statusesOf(await busy.closed), [200]);
  await stopped;
  t.equal(server.connections, 0);
});

t.test('what does not end in time is cut there, too', async (t) => {
  const arrived = deferred();
  const never = (exchange: Exchange) => {
    arrived.resolve();
    return new Promise<boolean>((resolve) => exchange.closed.addEventListener('abort', () => resolve(true)));
  };
  const { server, url } = await startShared(t, { applications: [never] });
  const connection = await Connection.open(url);
  connection.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await arrived.promise;
  await server.stop(10);
  t.equal(await connection.closed, '');
});
