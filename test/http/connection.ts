import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import t from 'tap';
import { Connection, ConnectionExchange } from '../../lib/http/connection.js';
import { CountingResponse } from '../../lib/http/response.js';

/** A connection without a network, and what its server is told to do. */
function unconnected() {
  const told: string[] = [];
  const connection = new Connection(new Socket(), {
    answer: ({ request }) => void told.push(`answer ${request.url ?? ''}`),
    turnAway: ({ request }) => void told.push(`turn away ${request.url ?? ''}`),
    giveUp: () => void told.push('give up'),
  });
  const add = (url: string, headers: Record<string, string> = {}) => {
    const request = new IncomingMessage(connection.socket);
    request.url = url;
    request.headers = headers;
    const exchange = new ConnectionExchange(connection, request, new CountingResponse(request));
    return { exchange, isNext: connection.add(exchange) };
  };
  return { connection, told, add };
}

t.test('an exchange knows its query, and whether its connection is gone, when it is asked', (t) => {
  const { connection, add } = unconnected();
  const cases: [url: string, search: string, query: [string, string][]][] = [
    ['/a', '', []],
    ['/a?', '?', []],
    ['/a?x=1&y=%20?', '?x=1&y=%20?', [['x', '1'], ['y', ' ?']]],
  ]; // prettier-ignore
  for (const [url, search, query] of cases) {
    const { exchange } = add(url);
    t.same([exchange.search, [...exchange.query]], [search, query]);
    t.equal(exchange.query, exchange.query, 'made once');
  }
  const { closed } = add('/b').exchange;
  t.equal(add('/c').exchange.closed, closed, 'one for all of a connection');
  t.notOk(closed.aborted);
  connection.end();
  t.ok(closed.aborted);
  const late = unconnected();
  late.connection.end();
  t.ok(late.add('/').exchange.closed.aborted, 'also when nobody has asked before');
  t.end();
});

t.test('requests have their turn one after the other', (t) => {
  const { connection, told, add } = unconnected();
  const [first, second, third] = [add('/1'), add('/2'), add('/3')];
  t.same([first.isNext, second.isNext, third.isNext], [true, false, false]);
  connection.serve();
  t.notOk(connection.remove(first.exchange));
  t.notOk(connection.remove(second.exchange));
  t.ok(connection.remove(third.exchange));
  t.same(told, ['answer /1', 'answer /2', 'answer /3']);
  t.end();
});

t.test('behind the last answer of a connection there is no other', (t) => {
  const { connection, told, add } = unconnected();
  const first = add('/1');
  add('/2');
  connection.serve();
  connection.socket.destroy();
  connection.remove(first.exchange);
  t.same(told, ['answer /1']);
  t.end();
});

t.test('an answer has begun when its header is out, or another one waits behind it', (t) => {
  const { connection, add } = unconnected();
  t.notOk(connection.hasBegun);
  const { exchange } = add('/1');
  t.notOk(connection.hasBegun);
  exchange.response.writeHead(200).flushHeaders();
  t.ok(connection.hasBegun);
  connection.remove(exchange);
  add('/2');
  add('/3');
  t.ok(connection.hasBegun);
  t.end();
});

t.test('iPXE returns, others do not', (t) => {
  const agents: [agent: string | undefined, returns: boolean][] = [
    ['iPXE/1.21.1+ (g988d2)', true],
    ['iPXE/', true],
    ['UefiHttpBoot/1.0', false],
    ['curl/7.88 iPXE/1.0', false],
    ['ipxe', false],
    [undefined, false],
  ];
  for (const [agent, returns] of agents) {
    const { connection, add } = unconnected();
    add('/', agent === undefined ? {} : { 'user-agent': agent });
    t.equal(connection.returns, returns, agent ?? 'none');
  }
  t.end();
});

t.test('who waits gives up when its client stops sending, and only while it waits', (t) => {
  const { connection, told, add } = unconnected();
  add('/1');
  connection.wait();
  connection.socket.emit('end');
  t.same(told.splice(0), ['give up']);
  connection.refuse();
  t.same(told.splice(0), ['turn away /1']);
  connection.socket.emit('end');
  t.same(told, []);
  t.end();
});

t.test('of who waits nothing more is read once there is more than one request, or a body', (t) => {
  const upload = unconnected();
  upload.add('/1', { 'content-length': '5' });
  upload.connection.wait();
  t.ok(upload.connection.socket.isPaused());
  upload.connection.serve();
  t.notOk(upload.connection.socket.isPaused());
  const pipelined = unconnected();
  pipelined.add('/1');
  pipelined.connection.wait();
  t.notOk(pipelined.connection.socket.isPaused());
  pipelined.add('/2');
  t.ok(pipelined.connection.socket.isPaused());
  t.end();
});

t.test('who watches a connection is told of each request and of its end once, and of the end of all', (t) => {
  const told: string[] = [];
  const nobody = { answer: () => undefined, turnAway: () => undefined, giveUp: () => undefined };
  const connection = new Connection(new Socket(), nobody, {
    begin: ({ request }) => told.push(`begin ${request.url ?? ''}`),
    end: ({ request }) => told.push(`end ${request.url ?? ''}`),
    close: () => told.push('close'),
  });
  const exchanges = ['/1', '/2', '/3'].map((url) => {
    const request = new IncomingMessage(connection.socket);
    request.url = url;
    return new ConnectionExchange(connection, request, new CountingResponse(request));
  });
  for (const exchange of exchanges) connection.add(exchange);
  for (const exchange of exchanges.slice(0, 1)) connection.remove(exchange);
  connection.end();
  // Node tells of an answer that was under way, too.
  for (const exchange of exchanges.slice(1, 2)) connection.remove(exchange);
  t.same(told, ['begin /1', 'begin /2', 'begin /3', 'end /1', 'end /2', 'end /3', 'close']);
  t.end();
});
