import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { answersOf, statusesOf } from '../fixtures/answers.js';
import { talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { startTestService } from '../fixtures/service.js';

// How firmware, iPXE and installers use their connections, byte for byte, against the whole service.

const { south, folder } = await startTestService(t);
const kernel = randomBytes(300_000);
await writeFile(join(folder, 'static/vmlinuz-5.15.0-generic.efi'), kernel);
const file = '/vmlinuz-5.15.0-generic.efi';

const bytesOf = (body: string | undefined) => Buffer.from(body ?? '', 'latin1');

async function open(t: Test): Promise<Connection> {
  const connection = await Connection.open(south);
  t.teardown(() => connection.socket.destroy());
  return connection;
}

/** The next answer of a connection that is kept. */
async function askOn(connection: Connection, request: string, isHead = false) {
  const before = connection.received.length;
  connection.send(request);
  const rest = (received: string) => received.slice(before);
  const isWhole = (received: string) => {
    const [answer] = answersOf(rest(received));
    const length = Number(/content-length: (\d+)/i.exec(answer?.head ?? '')?.[1] ?? -1);
    return answer !== undefined && (isHead || answer.body.length === length);
  };
  const [answer] = answersOf(rest(await connection.until(isWhole)));
  return answer ?? { status: 0, head: '', body: '' };
}

t.test('the header of an answer is small, and has no empty value', async (t) => {
  const connection = await open(t);
  const requests: [what: string, request: string, isHead?: boolean][] = [
    ['a file', `GET ${file} HTTP/1.1\r\nHost: a\r\n\r\n`],
    ['a part', `GET ${file} HTTP/1.1\r\nHost: a\r\nRange: bytes=0-511\r\n\r\n`],
    ['its header', `HEAD ${file} HTTP/1.1\r\nHost: a\r\n\r\n`, true],
    ['what is not there', 'GET /none HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a folder', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
  ];
  for (const [what, request, isHead] of requests) {
    const { head } = await askOn(connection, request, isHead);
    t.ok(head.length < 700, `${what}: ${head.length} bytes`);
    t.notMatch(head, /^[^\r]*:[ \t]*\r$/m, `${what}: a header without a value`);
    t.match(head, /^content-length: \d+\r$/im, what);
    t.notMatch(head, /^(transfer-encoding|content-encoding|location):/im, what);
  }
});

t.test('a disk over HTTP: its size by HEAD, then blocks by range, all on one connection', async (t) => {
  const connection = await open(t);
  const { head } = await askOn(connection, `HEAD ${file} HTTP/1.1\r\nHost: a\r\n\r\n`, true);
  t.match(head, /^content-length: 300000\r$/im);
  t.match(head, /^accept-ranges: bytes\r$/im);
  for (const block of [0, 7, 100, 585]) {
    const [start, end] = [block * 512, Math.min(block * 512 + 511, kernel.length - 1)];
    const range = `bytes=${start}-${end}`;
    const answer = await askOn(connection, `GET ${file} HTTP/1.1\r\nHost: a\r\nRange: ${range}\r\n\r\n`);
    t.equal(answer.status, 206);
    t.match(answer.head, new RegExp(`^content-range: bytes ${start}-${end}/300000\r$`, 'im'));
    t.ok(bytesOf(answer.body).equals(kernel.subarray(start, end + 1)));
  }
});

t.test('a Host header may be anything, as long as there is one', async (t) => {
  const hosts = [
    '',
    'a',
    '192.0.2.1:9090',
    '[fe80::1%25eth0]:9090',
    ':::',
    'http://a/',
    '*',
    'x'.repeat(1000),
    'ü\xff',
  ];
  for (const host of hosts) {
    const bytes = `HEAD ${file} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    t.same(statusesOf(await talk(south, Buffer.from(bytes, 'latin1'))), [200], JSON.stringify(host));
  }
  t.same(statusesOf(await talk(south, `HEAD ${file} HTTP/1.1\r\n\r\n`)), [400]);
  t.same(statusesOf(await talk(south, `HEAD ${file} HTTP/1.0\r\n\r\n`)), [200], 'HTTP/1.0 has none');
});

t.test('a URL with scheme and host, as through a proxy, is the file', async (t) => {
  for (const target of [`http://proxy:3128${file}`, `http://proxy/${file}`, `/.${file}`, `/${file}`]) {
    const [answer] = answersOf(await talk(south, `GET ${target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`));
    t.equal(answer?.status, 200, target);
    t.ok(bytesOf(answer?.body).equals(kernel));
  }
});

t.test('a connection is closed behind its answer when the client wants that, and HTTP/1.0 does', async (t) => {
  const closing = [
    `GET ${file} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`,
    `GET ${file} HTTP/1.1\r\nHost: a\r\nconnection: Close\r\n\r\n`,
    `GET ${file} HTTP/1.0\r\n\r\n`,
    `GET ${file} HTTP/1.0\r\nHost: a\r\nConnection: close\r\n\r\n`,
  ];
  for (const request of closing) {
    const [answer, ...others] = answersOf(await (await askAndWait(t, request)).closed);
    t.same([answer?.status, others], [200, []], request);
    t.match(answer?.head, /^connection: close\r$/im, request);
    t.ok(bytesOf(answer?.body).equals(kernel), request);
  }
});

async function askAndWait(t: Test, request: string): Promise<Connection> {
  const connection = await open(t);
  connection.send(request);
  return connection;
}

t.test('a client of HTTP/1.0 that asks for it keeps its connection', async (t) => {
  const connection = await open(t);
  const request = `GET ${file} HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n`;
  for (let count = 0; count < 3; count += 1) {
    const { head, body } = await askOn(connection, request);
    t.match(head, /^connection: keep-alive\r$/im, 'which it has to be told');
    t.ok(bytesOf(body).equals(kernel));
  }
});

t.test('many requests in one piece, and one in many pieces, are requests', async (t) => {
  const ranges = Array.from({ length: 50 }, (_, index) => index * 1000);
  const requests = ranges.map((start) => `GET ${file} HTTP/1.1\r\nHost: a\r\nRange: bytes=${start}-${start + 999}\r\n`);
  const connection = await open(t);
  connection.send(requests.map((request) => `${request}\r\n`).join(''));
  const answers = answersOf(await connection.until((received) => answersOf(received).at(49)?.body.length === 1000));
  t.ok(Buffer.concat(answers.map(({ body }) => bytesOf(body))).equals(kernel.subarray(0, 50_000)));
  for (const byte of `HEAD ${file} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`) {
    connection.send(byte);
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.equal(answersOf((await connection.closed).slice(answers.map(({ head, body }) => head + body).join('').length))[0]?.status, 200); // prettier-ignore
});

t.test('a client that has closed its sending side gets the whole file', async (t) => {
  for (const version of ['1.0', '1.1']) {
    const connection = await open(t);
    connection.socket.end(`GET ${file} HTTP/${version}\r\nHost: a\r\n\r\n`);
    const [answer] = answersOf(await connection.closed);
    t.ok(bytesOf(answer?.body).equals(kernel), version);
  }
});
