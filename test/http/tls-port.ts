import { once } from 'node:events';
import { connect as connectSecurely } from 'node:tls';
import t, { type Test } from 'tap';
import { lingerLimits } from '../../lib/http/linger.js';
import { send } from '../../lib/http/reply.js';
import type { ServerOptions } from '../../lib/http/server.js';
import { Credentials } from '../../lib/http/tls.js';
import { answersOf, statusesOf } from '../fixtures/answers.js';
import { Connection } from '../fixtures/connection.js';
import { eventually, everywhere, readAll, startHttp } from '../fixtures/http-server.js';
import { isInstalled } from '../fixtures/installed.js';
import { miss } from '../fixtures/iso-tools.js';
import { askTls, Authority, connectTls, type Pair, received, textsOf } from '../fixtures/tls.js';

interface Setup {
  readonly authority: Authority;
  readonly server: Pair;
  readonly client: Pair;
  /** What a client trusts. */
  readonly ca: string;
  readonly stranger: Pair;
}

const hello = everywhere(async (exchange) => {
  const [what] = exchange.path;
  if (what === 'body') send(exchange, 200, 'text/plain', String((await readAll(exchange.request)).length));
  else if (what !== 'silence') send(exchange, 200, 'text/plain', 'hello');
});

async function start(t: Test, setup: Setup, more: Partial<ServerOptions> = {}, httpTimeout = 60_000, ca?: string) {
  const credentials = new Credentials(textsOf(setup.server, ca));
  const { server, lines } = await startHttp(t, hello, httpTimeout, { credentials, ...more });
  return { credentials, server, lines, url: `https://127.0.0.1:${server.port}` };
}

const get = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;

async function run(t: Test): Promise<void> {
  const folder = t.testdir({});
  const authority = await Authority.create(folder, 'authority');
  const setup: Setup = {
    authority,
    server: await authority.issue('server'),
    client: await authority.issue('client'),
    ca: await authority.text(),
    stranger: await (await Authority.create(folder, 'elsewhere')).issue('stranger'),
  };
  const { ca } = setup;

  await t.test('requests are answered by https, and HTTP/1.1 is what both agree on', async (t) => {
    const { url } = await start(t, setup);
    t.same(await askTls(url, '/', { ca }), { status: 200, text: 'hello', server: 'server' });
    const body = Buffer.alloc(3_000_000);
    t.equal((await askTls(url, '/body', { ca }, { method: 'PUT', body })).text, '3000000');
    const socket = await connectTls(url, { ca, ALPNProtocols: ['h2', 'http/1.1'] });
    t.equal(socket.alpnProtocol, 'http/1.1');
    t.match(socket.getProtocol(), /^TLSv1\.[23]$/);
    socket.destroy();
    await t.rejects(connectTls(url, { ca, maxVersion: 'TLSv1.1', minVersion: 'TLSv1' }), 'as Node has it');
    await t.rejects(connectTls(url, {}), { code: 'UNABLE_TO_VERIFY_LEAF_SIGNATURE' });
  });

  await t.test('a client that closes its sending side gets its answers', async (t) => {
    const { url } = await start(t, setup);
    const socket = await connectTls(url, { ca, allowHalfOpen: true });
    socket.end(get('/a') + get('/b'));
    t.same(statusesOf(await received(socket)), [200, 200]);
  });

  await t.test('what is no request, too large or too slow is refused as in the clear', async (t) => {
    t.teardown(
      (
        (idle) => () =>
          (lingerLimits.idle = idle)
      )(lingerLimits.idle),
    );
    lingerLimits.idle = 100;
    const { url } = await start(t, setup, {}, 400);
    const cases: [bytes: string, status: number][] = [
      ['nonsense\r\n\r\n', 400],
      [`GET /${'a'.repeat(65_536)} HTTP/1.1\r\nHost: a\r\n\r\n`, 414],
      [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(65_536)}\r\n\r\n`, 431],
      ['PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome', 408],
      ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400],
    ];
    for (const [bytes, status] of cases) {
      const socket = await connectTls(url, { ca });
      socket.write(bytes);
      t.same(statusesOf(await received(socket)), [status], bytes.slice(0, 30));
    }
    const slow = await connectTls(url, { ca });
    slow.write('GET / HTTP/1.1\r\n');
    const trickle = setInterval(() => slow.write('X: 1\r\n'), 40);
    t.teardown(() => clearInterval(trickle));
    t.same(statusesOf(await received(slow)), [408]);
  });

  await t.test('connections wait for a place, and leave theirs, as in the clear', async (t) => {
    const { url, server } = await start(t, setup, { maxConnections: 1, times: { promised: 0 } });
    const first = await connectTls(url, { ca });
    first.write(get());
    await once(first, 'data');
    const second = await connectTls(url, { ca });
    second.write(get());
    const [answer] = answersOf(await Promise.race([received(second), once(second, 'data').then(String)]));
    t.equal(answer?.status, 200, 'the place of the idle one');
    second.destroy();
    t.ok(await eventually(() => server.connections === 0));
  });

  await t.test('a handshake that does not come to its end is ended in time, and at the stop', async (t) => {
    const short = await start(t, setup, { times: { header: 100 } });
    t.equal(await (await Connection.open(short.url)).closed, '');
    t.ok(await eventually(() => short.lines.some((line) => line.includes('TLS: TLS handshake timeout'))));
    const { server, url } = await start(t, setup);
    const waiting = await Connection.open(url);
    // Whoever has come later is there already.
    await askTls(url, '/', { ca });
    await server.stop(60_000);
    t.equal(await waiting.closed, '');
  });

  await t.test('the stop closes what has asked for nothing, and lets requests in flight end', async (t) => {
    const { server, url } = await start(t, setup);
    const unused = await connectTls(url, { ca });
    const used = await connectTls(url, { ca });
    used.write(get());
    await once(used, 'data');
    const busy = await connectTls(url, { ca });
    busy.write('PUT /body HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nso');
    t.ok(await eventually(() => server.connections === 3));
    const stopped = server.stop(60_000);
    t.same([await received(unused), await received(used)], ['', '']);
    const answer = received(busy);
    busy.write('me');
    t.match(await answer, /HTTP\/1\.1 200 [^]*\r\n\r\n4$/);
    await stopped;
  });

  await t.test('who speaks in the clear, or nonsense, ends its own connection alone', async (t) => {
    const { url, lines } = await start(t, setup);
    for (const bytes of [get(), 'nonsense\r\n\r\n']) {
      const connection = await Connection.open(url);
      connection.send(bytes);
      t.notMatch(await connection.closed, /hello/);
    }
    t.equal((await askTls(url, '/', { ca })).text, 'hello');
    t.match(lines.join(''), /TLS: .*http request/);
  });

  await t.test('with an authority of clients, only those get in that have a certificate of it', async (t) => {
    const { url, lines } = await start(t, setup, {}, 60_000, ca);
    const { client, stranger } = setup;
    t.equal((await askTls(url, '/', { ca, cert: client.cert, key: client.key })).text, 'hello');
    for (const versions of [{ maxVersion: 'TLSv1.2' }, { minVersion: 'TLSv1.3' }] as const) {
      for (const pair of [{}, { cert: stranger.cert, key: stranger.key }]) {
        const { port } = new URL(url);
        const socket = connectSecurely({ host: '127.0.0.1', port: Number(port), ca, ...pair, ...versions });
        const told = received(socket);
        socket.write(get());
        t.equal(await told, '');
      }
    }
    t.match(lines.join(''), /TLS: its certificate was refused, /);
  });

  await t.test('no client resumes a session where certificates are asked for', async (t) => {
    const { url } = await start(t, setup, {}, 60_000, ca);
    const { cert, key } = setup.client;
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const versions = { minVersion: version, maxVersion: version };
      const first = await connectTls(url, { ca, cert, key, ...versions });
      const sessions: Buffer[] = [];
      first.on('session', (session: Buffer) => sessions.push(session));
      first.write(get());
      await once(first, 'data');
      first.destroy();
      const [session = first.getSession()] = sessions;
      const socket = await connectTls(url, { ca, cert, key, ...versions, ...(session && { session }) });
      t.notOk(socket.isSessionReused(), version);
      socket.destroy();
    }
  });

  await t.test('a renewed certificate is shown to whoever connects from then on; others stay', async (t) => {
    const { url, credentials } = await start(t, setup);
    const former = await connectTls(url, { ca });
    credentials.renew(textsOf(await setup.authority.issue('renewed')));
    t.equal((await askTls(url, '/', { ca })).server, 'renewed');
    former.write(get());
    const [answer] = (await once(former, 'data')) as [Buffer];
    t.match(String(answer), /hello/);
    former.destroy();
  });
}

t.test('a port with a certificate', { timeout: 60_000 }, async (t) => {
  if (await isInstalled('openssl')) await run(t);
  else miss(t, 'openssl');
});
