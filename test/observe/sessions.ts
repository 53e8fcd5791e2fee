import t from 'tap';
import { type SessionOptions, Sessions } from '../../lib/observe/sessions.js';

function start(options: Partial<SessionOptions> = {}) {
  const lines: string[] = [];
  const sessions = new Sessions({ ended: ({ line }) => lines.push(line), ...options });
  const read = (client: string, target: string, status: number, at: number, bytes = 10) => {
    const session = sessions.at(client, target, at);
    session.add({ method: 'GET', status, bytes, item: 'a/1' }, at + 1);
    return session;
  };
  return { lines, sessions, read };
}

const nothing = () => undefined;

t.test('500 ranges of one file are one line, once the client has been silent', (t) => {
  const { lines, sessions, read } = start();
  for (let index = 0; index < 500; index++) read('c', '/a/1/f', 206, index * 10);
  t.equal(sessions.look(5000, nothing).length, 1, 'it may go on');
  t.same(lines, []);
  t.same(sessions.look(10_000, nothing), []);
  t.same(lines, ['c GET /a/1/f 206 5000 bytes 4991 ms 500 requests']);
  t.equal(sessions.size, 0);
  t.end();
});

t.test('clients and files have a line each', (t) => {
  const { lines, sessions, read } = start();
  for (const client of ['c', 'd']) for (const target of ['/f', '/g']) read(client, target, 200, 0);
  sessions.endAll();
  t.same(
    lines,
    ['c', 'd'].flatMap((client) => ['/f', '/g'].map((file) => `${client} GET ${file} 200 10 bytes 1 ms`)),
  );
  t.end();
});

t.test('the line tells of the highest status, and of GET where HEAD came before', (t) => {
  const { lines, sessions, read } = start();
  sessions.at('c', '/f', 0).add({ method: 'HEAD', status: 200, bytes: 0, item: undefined }, 0);
  read('c', '/f', 503, 1);
  sessions.end(read('c', '/f', 206, 2));
  t.same(lines, ['c GET /f 503 20 bytes 3 ms 3 requests']);
  sessions.at('c', '/f', 0).add({ method: 'HEAD', status: 200, bytes: 0, item: undefined }, 0);
  sessions.endAll();
  t.match(lines[1], /^c HEAD \/f 200/);
  t.end();
});

t.test('a session is told of once, and where nothing has ended not at all', (t) => {
  const { lines, sessions, read } = start();
  const session = read('c', '/f', 200, 0);
  sessions.end(session);
  sessions.end(session);
  sessions.end(sessions.at('c', '/g', 0));
  t.equal(lines.length, 1);
  t.not(sessions.at('c', '/f', 0), session, 'another one begins');
  t.end();
});

t.test('however many there are, only so many are remembered, and none is lost', (t) => {
  const { lines, sessions, read } = start({ most: 100 });
  for (let index = 0; index < 1000; index++) read(`c${index}`, '/f', 206, index);
  t.equal(sessions.size, 100);
  t.equal(lines.length, 900);
  sessions.endAll();
  t.equal(new Set(lines).size, 1000);
  t.end();
});

t.test('what is under way is not given up for others', (t) => {
  const { lines, sessions } = start({ most: 2 });
  const [first, second] = [sessions.at('c', '/1', 0), sessions.at('c', '/2', 0)];
  sessions.look(0, () => {
    for (const session of [first, second]) session.see(1, undefined);
  });
  sessions.at('c', '/3', 0);
  t.equal(sessions.size, 3);
  t.notOk(first.isEnded || second.isEnded);
  t.same(lines, []);
  t.end();
});

t.test('a long target is cut in memory, and stays one session', (t) => {
  const { sessions } = start();
  const session = sessions.at('c', `/${'x'.repeat(10_000)}`, 0);
  t.ok(session.target.length < 2100);
  t.equal(sessions.at('c', `/${'x'.repeat(10_000)}`, 5), session);
  t.end();
});

t.test('a transfer under way shows its bytes and its rate', (t) => {
  const { sessions } = start();
  const session = sessions.at('c', '/a/1/f?x', 1000);
  const seen = (bytes: number, at: number) =>
    sessions.look(at, () => session.see(bytes, 'a/1')).map((one) => one.transfer);
  t.match(seen(3000, 2000), [
    { direction: 'send', client: 'c', image: 'a/1', file: '/a/1/f?…', bytes: 3000, rate: 3000 },
  ]);
  t.match(seen(8000, 4000), [{ bytes: 8000, rate: 2500 }]);
  t.match(seen(8001, 4100), [{ bytes: 8001, rate: 2500 }], 'not over an instant');
  t.match(seen(8001, 60_000), [{ bytes: 8001, rate: 0 }], 'one that stalls is there still');
  t.end();
});
