import { appendFile, truncate } from 'node:fs/promises';
import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import t, { type Test } from 'tap';
import { sendFile } from '../../lib/http/file.js';
import { type Extent, hole } from '../../lib/tree.js';
import { partsOf } from '../fixtures/byteranges.js';
import { ask } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { deferred, errorsOf, eventually, everywhere, startHttp } from '../fixtures/http-server.js';
import {
  contentOf,
  countDescriptors,
  openBytes,
  randomBytes,
  randomExtents,
  storeBytes,
} from '../fixtures/open-file.js';
import { Random } from '../fixtures/random.js';
import { begin, finish } from '../fixtures/slow-download.js';

const modified = new Date('2014-04-17T12:34:56.789Z');
const date = 'Thu, 17 Apr 2014 12:34:56 GMT';
const tag = '"tag-of-the-file"';
const content = randomBytes(new Random(3), 10_000);
const large = 64 * 1024 * 1024;

/** A server that answers every path with one file, under the path's last name. */
async function serve(
  t: Test,
  stored: Buffer,
  extents: readonly Extent[] = [{ offset: 0, length: stored.length }],
  seen: (response: ServerResponse) => void = () => undefined,
) {
  const path = await storeBytes(t, stored);
  const current = { extents };
  const server = await startHttp(
    t,
    everywhere(async (exchange) => {
      seen(exchange.response);
      const file = await openBytes(path, current.extents, modified);
      await sendFile(exchange, file, exchange.path.at(-1) ?? '');
    }),
  );
  return { ...server, path, current, errors: () => errorsOf(server.lines) };
}

/** A server of a file of 64 MiB, which no buffer on the way can hold; nothing of it is on the disk. */
async function serveLarge(t: Test, seen?: (response: ServerResponse) => void) {
  const served = await serve(t, Buffer.alloc(0), [{ offset: 0, length: large }], seen);
  await truncate(served.path, large);
  return served;
}

t.test('a file comes whole, with what a client has to know about it', async (t) => {
  const { url } = await serve(t, content);
  const answer = await ask(url, '/casper/vmlinuz');
  t.equal(answer.status, 200);
  t.ok(answer.body.equals(content));
  const { date: now, connection, ...headers } = answer.headers;
  t.same([typeof now, connection], ['string', 'close']);
  t.same(headers, {
    'accept-ranges': 'bytes',
    'x-content-type-options': 'nosniff',
    etag: tag,
    'cache-control': 'no-cache',
    'last-modified': date,
    'content-type': 'application/octet-stream',
    'content-length': '10000',
  });
});

t.test(
  'the type comes from the name, without a charset, and a compressed file is not called an encoding',
  async (t) => {
    const { url } = await serve(t, content);
    const types: [name: string, type: string][] = [
      ['index.html', 'text/html'],
      ['ks.cfg.txt', 'text/plain'],
      ['ubuntu.iso', 'application/x-iso9660-image'],
      ['initrd.gz', 'application/gzip'],
      ['root.xz', 'application/x-xz'],
      ['VMLINUZ', 'application/octet-stream'],
      ['.treeinfo', 'text/plain'],
      ['X.HTML', 'text/html'],
    ];
    for (const [name, type] of types) {
      const { headers } = await ask(url, `/${name}`);
      t.same([headers['content-type'], headers['content-encoding']], [type, undefined], name);
    }
  },
);

t.test('a part of a file: one range, open, from the end, beyond the end', async (t) => {
  const { url } = await serve(t, content);
  const cases: [range: string, start: number, end: number][] = [
    ['bytes=0-0', 0, 0],
    ['bytes=0-9999', 0, 9999],
    ['bytes=100-199', 100, 199],
    ['bytes=9000-', 9000, 9999],
    ['bytes=9999-', 9999, 9999],
    ['bytes=-1', 9999, 9999],
    ['bytes=-10', 9990, 9999],
    ['bytes=-20000', 0, 9999],
    ['bytes=5000-99999999999999999999', 5000, 9999],
    ['BYTES=1-2', 1, 2],
    ['bytes=20000-, 5-6', 5, 6],
  ];
  for (const [range, start, end] of cases) {
    const { status, headers, body } = await ask(url, '/a', { headers: { range } });
    t.same([status, headers['content-range']], [206, `bytes ${start}-${end}/10000`], range);
    t.ok(body.equals(content.subarray(start, end + 1)), range);
    t.same([headers['content-length'], headers.etag, headers['last-modified']], [`${end - start + 1}`, tag, date]);
  }
});

t.test('several ranges come in one answer, in the order that was asked for', async (t) => {
  const { url } = await serve(t, content);
  const answer = await ask(url, '/a.html', { headers: { range: 'bytes=9000-9009, 0-0, -5, 3000-' + '3999' } });
  t.equal(answer.status, 206);
  t.equal(answer.headers['content-length'], `${answer.body.length}`);
  t.equal(answer.headers['content-range'], undefined);
  t.ok(answer.complete);
  const expected = [
    [9000, 9009],
    [0, 0],
    [9995, 9999],
    [3000, 3999],
  ] as const;
  const parts = partsOf(answer);
  t.equal(parts.length, expected.length);
  for (const [index, [start, end]] of expected.entries()) {
    t.equal(parts[index]?.head, `\r\nContent-Type: text/html\r\nContent-Range: bytes ${start}-${end}/10000`);
    t.ok(parts[index]?.bytes.equals(content.subarray(start, end + 1)));
  }
});

t.test('what is no range of this file: 416; what would cost more than the file: the file', async (t) => {
  const { url } = await serve(t, content);
  for (const range of ['bytes=10000-', 'bytes=-0', 'bytes=5-4', 'bytes=a-b', 'bytes=', 'bytes=0x1-2']) {
    const { status, headers, body } = await ask(url, '/a', { headers: { range } });
    t.same([status, headers['content-range'], body.length], [416, 'bytes */10000', 0], range);
    t.equal(headers['accept-ranges'], 'bytes');
  }
  for (const range of ['lines=1-2', '0-5', 'bytes=0-,1-,2-,3-', `bytes=${'0-0,'.repeat(100)}`]) {
    const { status, headers, body } = await ask(url, '/a', { headers: { range } });
    t.same([status, headers['content-range'], body.length], [200, undefined, 10_000], range);
  }
});

t.test('any range of any file is that slice of it', async (t) => {
  const random = new Random(4);
  const served = await serve(t, content);
  for (let run = 0; run < 150; run += 1) {
    served.current.extents = [{ offset: hole, length: 1 }, ...randomExtents(random, content.length, 2000)];
    const whole = contentOf(content, served.current.extents);
    const start = random.below(whole.length);
    const end = start + random.below(whole.length - start);
    const { status, body } = await ask(served.url, '/a', { headers: { range: `bytes=${start}-${end}` } });
    const fits = status === 206 && body.equals(whole.subarray(start, end + 1));
    if (!fits) t.fail(`${start}-${end} of ${JSON.stringify(served.current.extents)}: ${status}, ${body.length} bytes`);
  }
  t.equal(await countDescriptors(served.path), 0);
});

t.test('HEAD has the headers of GET and no body, and no range', async (t) => {
  const { url, path } = await serve(t, content);
  const cases: OutgoingHttpHeaders[] = [{}, { 'if-none-match': tag }, { 'if-match': '"other"' }];
  for (const headers of cases) {
    const read = await ask(url, '/a', { headers });
    const head = await ask(url, '/a', { method: 'HEAD', headers });
    t.same({ ...head.headers, date: '' }, { ...read.headers, date: '' });
    t.same([head.status, head.body.length], [read.status, 0]);
  }
  const ranged = await ask(url, '/a', { method: 'HEAD', headers: { range: 'bytes=1-2' } });
  t.same([ranged.status, ranged.headers['content-length']], [200, '10000']);
  t.equal(await countDescriptors(path), 0);
});

t.test('an empty file is an answer without bytes, whatever part of it is asked for', async (t) => {
  const { url } = await serve(t, Buffer.alloc(0));
  for (const range of [undefined, 'bytes=0-', 'bytes=-1', 'bytes=0-0,2-3']) {
    const { status, headers, complete } = await ask(url, '/a', range === undefined ? {} : { headers: { range } });
    t.same([status, headers['content-length'], complete], [200, '0', true], String(range));
  }
});

t.test('a client that has the file already is told so, and one that wants another one too', async (t) => {
  const { url, path } = await serve(t, content);
  const cases: [headers: OutgoingHttpHeaders, status: number][] = [
    [{ 'if-none-match': tag }, 304],
    [{ 'if-none-match': '*' }, 304],
    [{ 'if-none-match': '"other"' }, 200],
    [{ 'if-none-match': '"other"', 'if-modified-since': date }, 200],
    [{ 'if-modified-since': date }, 304],
    [{ 'if-modified-since': 'Thu, 17 Apr 2014 12:34:55 GMT' }, 200],
    [{ 'if-match': '"other"' }, 412],
    [{ 'if-match': tag }, 200],
    [{ 'if-unmodified-since': 'Thu, 17 Apr 2014 12:34:55 GMT' }, 412],
    [{ 'if-unmodified-since': date }, 200],
    [{ 'if-none-match': tag, range: 'bytes=0-1' }, 304],
    [{ 'if-match': '"other"', range: 'bytes=0-1' }, 412],
    [{ 'if-match': '"other"', range: 'bytes=20000-' }, 412],
  ];
  for (const [headers, status] of cases) {
    const answer = await ask(url, '/a', { headers });
    t.same([answer.status, answer.body.length], [status, status === 200 ? 10_000 : 0], JSON.stringify(headers));
    t.equal(answer.headers.etag, tag);
    t.equal(answer.headers['last-modified'], date);
    if (status === 304)
      t.same([answer.headers['content-type'], answer.headers['content-length']], [undefined, undefined]);
  }
  t.equal(await countDescriptors(path), 0);
});

t.test('the rest of a file comes only when it is still the same file', async (t) => {
  const { url } = await serve(t, content);
  const cases: [condition: string, status: number][] = [
    [tag, 206],
    [date, 206],
    ['"other"', 200],
    [`W/${tag}`, 200],
    ['Thu, 17 Apr 2014 12:34:57 GMT', 200],
    ['Thu, 17 Apr 2014 12:34:55 GMT', 200],
    ['nonsense', 200],
  ];
  for (const [condition, status] of cases) {
    const headers = { range: 'bytes=9000-', 'if-range': condition };
    const { status: found, body } = await ask(url, '/a', { headers });
    t.same([found, body.length], [status, status === 206 ? 1000 : 10_000], condition);
  }
  const beyond = { range: 'bytes=20000-', 'if-range': '"other"' };
  t.equal((await ask(url, '/a', { headers: beyond })).status, 200, 'no 416 for another file');
});

t.test('a connection is kept from one file to the next', async (t) => {
  const { url } = await serve(t, Buffer.from('content'));
  const connection = await Connection.open(url);
  for (const [index, header] of ['', 'Range: bytes=0-2\r\n', 'If-None-Match: *\r\n', 'Range: bytes=9-\r\n'].entries()) {
    connection.send(`GET /a HTTP/1.1\r\nHost: a\r\n${header}\r\n`);
    await connection.until((text) => text.split('HTTP/1.1 ').length === index + 2);
  }
  t.same(connection.received.match(/(?<=HTTP\/1\.1 )\d+/g), ['200', '206', '304', '416']);
  connection.socket.destroy();
});

t.test('a file that shrinks while it is sent cuts the connection; nothing hangs and nothing stays open', async (t) => {
  const { url, path } = await serveLarge(t);
  const response = await begin(url);
  t.equal(response.headers['content-length'], `${large}`);
  t.equal(await countDescriptors(path), 1);
  await truncate(path, 1000);
  const { bytes, complete } = await finish(response);
  t.ok(bytes < large, `${bytes} bytes`);
  t.equal(complete, false);
  t.ok(await eventually(async () => (await countDescriptors(path)) === 0));
});

t.test('a file that grows while it is sent is sent as long as it was announced', async (t) => {
  const { url, path } = await serveLarge(t);
  const response = await begin(url);
  await appendFile(path, Buffer.alloc(100_000, 'x'));
  t.same(await finish(response), { bytes: large, complete: true });
  t.ok(await eventually(async () => (await countDescriptors(path)) === 0));
});

t.test('downloads that are broken off leave no file open and no error in the log', async (t) => {
  const { url, path, errors } = await serveLarge(t);
  const responses = await Promise.all(Array.from({ length: 10 }, () => begin(url)));
  t.equal(await countDescriptors(path), 10);
  for (const response of responses) response.destroy();
  t.ok(await eventually(async () => (await countDescriptors(path)) === 0));
  t.same(errors(), []);
});

t.test('nor do downloads that still waited for their turn on a connection', async (t) => {
  const { url, path, errors } = await serveLarge(t);
  const connection = await Connection.open(url);
  connection.socket.pause();
  connection.send('GET /a HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(10));
  t.ok(await eventually(async () => (await countDescriptors(path)) === 1), 'one has begun');
  connection.socket.destroy();
  t.ok(await eventually(async () => (await countDescriptors(path)) === 0));
  t.same(errors(), []);
});

t.test('a client that does not read costs a few chunks of memory, not a file', async (t) => {
  const answering = deferred<ServerResponse>();
  const { url } = await serveLarge(t, answering.resolve);
  const response = await begin(url);
  const answer = await answering.promise;
  t.ok(await eventually(() => answer.writableNeedDrain), 'the network has taken what it takes');
  t.ok(answer.writableLength <= 256 * 1024, `${answer.writableLength} bytes`);
  t.same(await finish(response), { bytes: large, complete: true });
});

t.test('a file that cannot be read is 500, and the log says why', async (t) => {
  const path = await storeBytes(t, content);
  const { url, lines } = await startHttp(
    t,
    everywhere(async (exchange) => {
      const file = await openBytes(path, [{ offset: 0, length: content.length }]);
      await sendFile(exchange, { ...file, descriptor: 1_000_000 }, 'a');
    }),
  );
  const answer = await ask(url, '/');
  t.match(answer, { status: 500, headers: { 'content-type': 'application/json' } });
  t.notHas(answer.headers, 'etag', 'it says nothing about the file');
  t.ok(lines.some((line) => / error .*EBADF/.test(line)));
  t.equal(await countDescriptors(path), 0);
});

t.test('a page on a disc cannot act as a page of the service', async (t) => {
  const { url } = await serve(t, content);
  for (const name of ['a.html', 'a.HTM', 'a.svg', 'a.xhtml', 'a.xml']) {
    t.equal((await ask(url, `/${name}`)).headers['content-security-policy'], 'sandbox', name);
  }
  for (const name of ['a.txt', 'a.iso', 'vmlinuz', 'a.js']) {
    t.equal((await ask(url, `/${name}`)).headers['content-security-policy'], undefined, name);
  }
});
