import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import t from 'tap';
import type { Subject } from '../../lib/http/exchange.js';
import { CountingResponse } from '../../lib/http/response.js';
import type { Watched } from '../../lib/http/watch.js';
import { ConnectionWatcher } from '../../lib/observe/connection-watcher.js';
import { Sessions } from '../../lib/observe/sessions.js';
import { Tally } from '../../lib/observe/tally.js';

const files: Subject = { route: 'root', hasFiles: true };

/** A request that is answered with so many bytes, as far as watching it goes. */
function exchangeOf(target: string, { subject = files, status = 200, bytes = 10 }, headers = {}): Watched {
  const request = new IncomingMessage(new Socket());
  Object.assign(request, { url: target, method: 'GET', headers });
  const response = new CountingResponse(request);
  response.statusCode = status;
  Object.defineProperty(response, 'headersSent', { value: true });
  response.bodyBytes = bytes;
  const { signal } = new AbortController();
  const asked = { path: [], endsWithSlash: false, search: '', query: new URLSearchParams(), closed: signal };
  return { ...asked, request, response, subject, began: performance.now() };
}

function start() {
  const lines: string[] = [];
  const line = (text: string) => void lines.push(text.replace(/ \d+ ms/, ''));
  const sessions = new Sessions({ ended: (session) => line(session.line) });
  const tally = new Tally();
  const left: ConnectionWatcher[] = [];
  const connect = (remoteAddress = '10.0.0.9', bytesRead: () => number = () => 0) => {
    const socket = new Socket();
    Object.defineProperty(socket, 'remoteAddress', { value: remoteAddress });
    Object.defineProperty(socket, 'bytesRead', { get: bytesRead });
    return new ConnectionWatcher(socket, { tally, sessions, line, leave: (watcher) => left.push(watcher) });
  };
  const read = (watcher: ConnectionWatcher, target: string, status = 200) => {
    const exchange = exchangeOf(target, { status });
    watcher.begin(exchange);
    watcher.end(exchange);
  };
  return { lines, sessions, tally, left, connect, read };
}

t.test('an address is shown as people write it', (t) => {
  const { connect } = start();
  t.equal(connect('::ffff:10.1.2.3').client, '10.1.2.3');
  t.equal(connect('2001:db8::1').client, '2001:db8::1');
  t.end();
});

t.test('a file that two connections of a client read whole is over when both have turned from it', (t) => {
  const { lines, connect, read } = start();
  const [one, other] = [connect(), connect()];
  read(one, '/f');
  read(other, '/f');
  read(one, '/g');
  t.same(lines, []);
  other.close();
  t.same(lines, ['10.0.0.9 GET /f 200 20 bytes 2 requests']);
  one.close();
  t.same(lines.slice(1), ['10.0.0.9 GET /g 200 10 bytes']);
  t.end();
});

t.test('who goes to and fro between ranges of two files has two lines', (t) => {
  const { lines, sessions, connect, read } = start();
  const watcher = connect();
  for (let index = 0; index < 50; index++) for (const target of ['/f', '/g']) read(watcher, target, 206);
  t.same(lines, []);
  t.equal(sessions.size, 2);
  watcher.close();
  sessions.endAll();
  const line = (target: string) => `10.0.0.9 GET ${target} 206 500 bytes 50 requests`;
  t.same(lines, [line('/f'), line('/g')]);
  t.end();
});

t.test('a request that ends twice, or never began, counts once or not at all', (t) => {
  const { tally, connect } = start();
  const watcher = connect();
  const exchange = exchangeOf('/f', {});
  watcher.end(exchange);
  watcher.begin(exchange);
  watcher.end(exchange);
  watcher.end(exchange);
  t.same(tally.take().requests, [['root', 200, 1]]);
  t.end();
});

t.test('of a body that broke off the line tells what came', (t) => {
  let read = 0;
  const { lines, connect } = start();
  const watcher = connect('10.0.0.9', () => read);
  for (const [bytes, more] of [
    [1000, 1200],
    [1000, 300],
  ] as const) {
    read += more;
    const exchange = exchangeOf('/iso?name=x', { subject: { route: '/iso' } }, { 'content-length': `${bytes}` });
    watcher.begin(exchange);
    watcher.end(exchange);
  }
  t.same(lines, ['10.0.0.9 GET /iso?… 200 1000 bytes', '10.0.0.9 GET /iso?… 200 300 bytes']);
  t.end();
});

t.test('a connection that is closed is not watched any more', (t) => {
  const { left, connect } = start();
  const watcher = connect();
  watcher.close();
  t.same(left, [watcher]);
  t.end();
});
