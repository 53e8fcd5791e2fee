import t, { type Test } from 'tap';
import type { Report } from '../../lib/observe/report.js';
import { Reporter, type ReporterOptions } from '../../lib/observe/reporter.js';
import type { Exchange } from '../../lib/http/exchange.js';
import { send } from '../../lib/http/reply.js';
import { ask, talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, everywhere, eventually, startHttp } from '../fixtures/http-server.js';

const subject = { route: 'image', item: 'a/1', hasFiles: true };

/** Answers with 10 bytes, in the manner of the file server below `/a` and of the management API elsewhere. */
function say(exchange: Exchange): void {
  exchange.subject = exchange.path[0] === 'a' ? subject : { route: '/images' };
  const status = exchange.request.headers.range === undefined ? 200 : 206;
  send(exchange, status, 'text/plain', 'x'.repeat(10));
}

async function start(t: Test, answer: (exchange: Exchange) => unknown = say, options: Partial<ReporterOptions> = {}) {
  const reports: Report[] = [];
  const reporter = new Reporter({
    ...{ hasLines: () => true, interval: 3_600_000, send: (report: Report) => void reports.push(report) },
    ...options,
  });
  reporter.start();
  t.teardown(() => reporter.stop());
  const { url } = await startHttp(t, () => everywhere(answer)(noLog), 60_000, { watch: reporter.watch });
  const report = (): Report => {
    reporter.report();
    const last = reports.at(-1);
    if (last === undefined) throw new Error('no report');
    return last;
  };
  return { reporter, reports, report, url };
}

const ignore = () => undefined;
const noLog = { debug: ignore, info: ignore, warning: ignore, error: ignore, critical: ignore };
const get = (path: string, ...headers: string[]) =>
  `GET ${path} HTTP/1.1\r\n${['Host: x', ...headers].join('\r\n')}\r\n\r\n`;
const range = 'Range: bytes=0-9';
const close = 'Connection: close';

/** Lines without their milliseconds. */
const told = (lines: readonly string[]) => lines.map((line) => line.replace(/ \d+ ms/, ''));

t.test('500 ranges by one connection are one line when it closes', async (t) => {
  const { reporter, report, url } = await start(t);
  const connection = await Connection.open(url);
  for (let index = 1; index <= 500; index++) {
    connection.send(get('/a/1/f', range));
    await connection.until((received) => received.split('HTTP/1.1 206').length === index + 1);
  }
  t.equal(reporter.sessions.size, 1);
  const { requests, sent, lines, sending, connections } = report();
  t.same({ requests, sent, lines }, { requests: [['image', 206, 500]], sent: [['image', 'a/1', 5000]], lines: [] });
  t.same([sending, connections], [1, 1], 'it may go on');
  connection.socket.destroy();
  t.ok(await eventually(() => reporter.sessions.size === 0));
  const last = report();
  t.same(told(last.lines), ['127.0.0.1 GET /a/1/f 206 5000 bytes 500 requests']);
  t.same([last.sending, last.connections, last.requests], [0, 0, []]);
});

t.test('a client with a connection for each range has one line, too, when it has been silent', async (t) => {
  const { reporter, report, url } = await start(t, say, { silence: 0 });
  for (let index = 0; index < 20; index++) await talk(url, get('/a/1/f', range, close));
  t.same(reporter.sessions.size, 1);
  t.same(told(report().lines), ['127.0.0.1 GET /a/1/f 206 200 bytes 20 requests']);
});

t.test('files that are read whole have their lines as soon as the connection goes on or closes', async (t) => {
  const { report, url, reporter } = await start(t);
  const requests = ['/a/1/f', '/a/1/g', '/a/1/g?x=secret'].map((path) => get(path)).join('');
  await talk(url, requests + get('/a/1/h', close));
  t.ok(await eventually(() => reporter.sessions.size === 0));
  t.same(told(report().lines), [
    '127.0.0.1 GET /a/1/f 200 10 bytes',
    '127.0.0.1 GET /a/1/g 200 10 bytes',
    '127.0.0.1 GET /a/1/g?… 200 10 bytes',
    '127.0.0.1 GET /a/1/h 200 10 bytes',
  ]);
});

t.test('the management API has a line for each request, without its query', async (t) => {
  const { reporter, report, url } = await start(t);
  for (let index = 0; index < 2; index++) await ask(url, '/images?isoweb=http://me:secret@mirror/a.iso');
  await ask(url, '/iso?name=x', { method: 'PUT', body: Buffer.alloc(70_000) });
  t.ok(await eventually(() => reporter.connections === 0));
  const { lines, sent } = report();
  const line = '127.0.0.1 GET /images?… 200 10 bytes';
  t.same(told(lines), [line, line, '127.0.0.1 PUT /iso?… 200 70000 bytes']);
  t.same(sent, [], 'and none of its bytes are those of files');
});

t.test('an answer under way is counted and shown', async (t) => {
  const goOn = deferred();
  const answer = async (exchange: Exchange) => {
    exchange.subject = subject;
    exchange.response.writeHead(200, { 'Content-Length': 2000 });
    exchange.response.write(Buffer.alloc(1500));
    await goOn.promise;
    exchange.response.end(Buffer.alloc(500));
  };
  const { report, url } = await start(t, answer);
  const connection = await Connection.open(url);
  connection.send(get('/a/1/f'));
  await connection.until('\r\n\r\n');
  const { sent, sending, requests, transfers } = report();
  t.same({ sent, sending, requests }, { sent: [['image', 'a/1', 1500]], sending: 1, requests: [] });
  t.match(transfers, [{ direction: 'send', client: '127.0.0.1', image: 'a/1', file: '/a/1/f', bytes: 1500 }]);
  goOn.resolve();
  await connection.until((received) => received.length > 2000);
  t.ok(await eventually(() => report().requests.length === 1));
  connection.socket.destroy();
  t.ok(await eventually(() => told(report().lines).includes('127.0.0.1 GET /a/1/f 200 2000 bytes')));
});

t.test('bytes of an answer are counted once', async (t) => {
  const goOn = deferred();
  const { report, reports, url } = await start(t, async (exchange) => {
    exchange.subject = subject;
    exchange.response.write('x'.repeat(300));
    await goOn.promise;
    exchange.response.end('y'.repeat(44));
  });
  const connection = await Connection.open(url);
  connection.send(get('/a') + get('/a'));
  await connection.until('xxx');
  report();
  report();
  goOn.resolve();
  const requests = () => reports.flatMap((one) => one.requests).reduce((all, [, , count]) => all + count, 0);
  t.ok(await eventually(() => (report(), requests() === 2)));
  const bytes = reports.flatMap((one) => one.sent).reduce((all, [, , count]) => all + count, 0);
  t.equal(bytes, 688);
  connection.socket.destroy();
});

t.test('a client that goes before its answer has begun is counted as 499', async (t) => {
  const asked = deferred();
  const { reporter, report, url } = await start(t, async (exchange) => {
    exchange.subject = subject;
    asked.resolve();
    await new Promise((resolve) => exchange.closed.addEventListener('abort', resolve));
  });
  const connection = await Connection.open(url);
  connection.send(get('/a/1/f') + get('/a/1/g'));
  await asked.promise;
  // Only that says that nobody waits for the answer.
  connection.socket.resetAndDestroy();
  t.ok(await eventually(() => reporter.connections === 0));
  // What has not had its turn is about nothing yet.
  t.same(report().requests, [
    ['image', 499, 1],
    ['none', 499, 1],
  ]);
});

t.test('with many lines the report does not wait', async (t) => {
  const { reporter, reports } = await start(t);
  for (let index = 0; index < 2500; index++) reporter.line?.(`${index}`);
  t.ok(await eventually(() => reports.length > 0));
  t.equal(reports.flatMap(({ lines }) => lines).length, 2500);
});

t.test('the last report has everything', async (t) => {
  const { reporter, reports, url } = await start(t);
  const connection = await Connection.open(url);
  connection.send(get('/a/1/f', range));
  await connection.until('206');
  t.ok(await eventually(() => reporter.sessions.size === 1));
  reporter.stop();
  t.same(told(reports.at(-1)?.lines ?? []), ['127.0.0.1 GET /a/1/f 206 10 bytes']);
  connection.socket.destroy();
});

t.test('reports come by themselves, and tell of the process', async (t) => {
  const { reports } = await start(t, say, { interval: 10 });
  t.ok(await eventually(() => reports.length > 1));
  const [{ memory, processor, lag } = { memory: 0, processor: -1, lag: -1 }] = reports;
  t.ok(memory > 1e6 && processor >= 0 && lag >= 0);
});

t.test('where the access log is not wanted nobody makes lines', async (t) => {
  const { report, url } = await start(t, say, { hasLines: () => false });
  await ask(url, '/images');
  await ask(url, '/a/1/f');
  t.same(report().lines, []);
});
