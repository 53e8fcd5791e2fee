import { getEventListeners } from 'node:events';
import { truncate } from 'node:fs/promises';
import { Writable } from 'node:stream';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { slice, transfer } from '../../lib/http/transfer.js';
import { type Extent, hole } from '../../lib/tree.js';
import { contentOf, openBytes, randomBytes, randomExtents, storeBytes } from '../fixtures/open-file.js';
import { Random } from '../fixtures/random.js';

const chunk = 128 * 1024;

/** A stream that takes its time, and looks at the bytes of a chunk only when it is done with it, as a kernel does. */
class SlowStream extends Writable {
  readonly #chunks: Buffer[] = [];
  largest = 0;

  constructor() {
    super({ highWaterMark: 1024 });
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.largest = Math.max(this.largest, this.writableLength);
    setImmediate(() => {
      this.#chunks.push(Buffer.from(bytes));
      done();
    });
  }

  get content(): Buffer {
    return Buffer.concat(this.#chunks);
  }
}

async function store(t: Test, bytes: Buffer, extents: readonly Extent[] = [{ offset: 0, length: bytes.length }]) {
  const path = await storeBytes(t, bytes);
  const file = await openBytes(path, extents);
  t.teardown(() => file.close());
  return { path, file };
}

t.test('a slice of extents is the pieces that cover it, in order', (t) => {
  const extents = [
    { offset: 1000, length: 10 },
    { offset: hole, length: 5 },
    { offset: 50, length: 0 },
    { offset: 200, length: 20 },
  ];
  const cases: [start: number, length: number, pieces: [offset: number, length: number][]][] = [
    [0, 35, [[1000, 10], [hole, 5], [200, 20]]],
    [0, 1, [[1000, 1]]],
    [9, 1, [[1009, 1]]],
    [9, 2, [[1009, 1], [hole, 1]]],
    [10, 5, [[hole, 5]]],
    [12, 1, [[hole, 1]]],
    [14, 3, [[hole, 1], [200, 2]]],
    [34, 1, [[219, 1]]],
    [3, 0, []],
    [35, 0, []],
  ]; // prettier-ignore
  for (const [start, length, pieces] of cases) {
    const found = slice(extents, start, length).map((piece) => [piece.offset, piece.length]);
    t.same(found, pieces, `${start} +${length}`);
  }
  t.same(slice([], 0, 0), []);
  t.end();
});

t.test('any slice of a file is sent as these bytes of it, whatever its extents', async (t) => {
  const random = new Random(1);
  const stored = randomBytes(random, 5000);
  const path = await storeBytes(t, stored);
  for (let run = 0; run < 200; run += 1) {
    const extents = randomExtents(random, stored.length, 1000);
    const whole = contentOf(stored, extents);
    const start = random.below(whole.length + 1);
    const length = random.below(whole.length - start + 1);
    const file = await openBytes(path, extents);
    const target = new SlowStream();
    await transfer(target, file, start, length, new AbortController().signal);
    await file.close();
    const expected = whole.subarray(start, start + length);
    if (!target.content.equals(expected)) t.fail(`${JSON.stringify(extents)} from ${start}, ${length} bytes`);
  }
  t.pass();
});

t.test('a slow reader never has more than one chunk in memory, of bytes or of a hole', async (t) => {
  const stored = randomBytes(new Random(2), 3 * chunk + 17);
  const extents = [
    { offset: 0, length: stored.length },
    { offset: hole, length: 2 * chunk + 1 },
    { offset: 1, length: stored.length - 1 },
  ];
  const { file } = await store(t, stored, extents);
  const target = new SlowStream();
  const { signal } = new AbortController();
  await transfer(target, file, 0, file.size, signal);
  t.ok(target.content.equals(contentOf(stored, extents)));
  t.equal(target.largest, chunk);
  t.equal(getEventListeners(signal, 'abort').length, 0, 'and nothing is left listening');
});

t.test('a file that has become shorter is an error, never a shorter answer', async (t) => {
  const { path, file } = await store(t, Buffer.alloc(3 * chunk));
  await truncate(path, chunk + 5);
  const target = new SlowStream();
  const sending = transfer(target, file, 0, file.size, new AbortController().signal);
  await t.rejects(sending, { name: 'ServiceError', code: 'TRUNCATED' });
  t.equal(target.content.length, chunk + 5);
});

t.test('extents beyond the end of the file are the same error', async (t) => {
  const { file } = await store(t, Buffer.alloc(10), [{ offset: 1_000_000, length: 1 }]);
  const sending = transfer(new SlowStream(), file, 0, 1, new AbortController().signal);
  await t.rejects(sending, { code: 'TRUNCATED' });
});

t.test('a file that cannot be read is an error', async (t) => {
  const { file } = await store(t, Buffer.alloc(10));
  const unreadable = { ...file, descriptor: 1_000_000 };
  await t.rejects(transfer(new SlowStream(), unreadable, 0, 10, new AbortController().signal), { code: 'EBADF' });
});

t.test('a connection that is gone ends the transfer, before it or while it waits', async (t) => {
  const { file } = await store(t, Buffer.alloc(10 * chunk));
  await t.rejects(transfer(new SlowStream(), file, 0, file.size, AbortSignal.abort()), { code: 'TIMEOUT' });
  const closed = new AbortController();
  const stuck = new Writable({ write: () => setImmediate(() => closed.abort()) });
  await t.rejects(transfer(stuck, file, 0, file.size, closed.signal), { code: 'TIMEOUT' });
});

t.test('a connection that breaks under a write is a client that went away, not an error of ours', async (t) => {
  const { file } = await store(t, Buffer.alloc(10 * chunk));
  const { signal } = new AbortController();
  const broken = new Writable({ write: (_bytes, _encoding, done) => done(new Error('EPIPE')) });
  broken.on('error', () => undefined);
  await t.rejects(transfer(broken, file, 0, file.size, signal), { code: 'TIMEOUT' });
  t.equal(getEventListeners(signal, 'abort').length, 0);
});

/** A file whose content is not what is stored; gives up to `most` bytes at a time. */
async function make(t: Test, content: Buffer, most: number) {
  const { file } = await store(t, Buffer.from('what is stored'));
  const asked: number[] = [];
  const read = (position: number, length: number) => {
    asked.push(length);
    return Promise.resolve(content.subarray(position, position + Math.min(length, most)));
  };
  return { file: { ...file, read, size: content.length }, asked };
}

t.test('any slice of a file that is stored in another form is sent as these bytes of its content', async (t) => {
  const random = new Random(4);
  const content = randomBytes(random, 3 * chunk + 17);
  for (let run = 0; run < 30; run += 1) {
    const { file } = await make(t, content, 1 + random.below(2 * chunk));
    const start = random.below(content.length + 1);
    const length = random.below(content.length - start + 1);
    const target = new SlowStream();
    await transfer(target, file, start, length, new AbortController().signal);
    if (!target.content.equals(content.subarray(start, start + length))) t.fail(`from ${start}, ${length} bytes`);
  }
  t.pass();
});

t.test('a slow reader never has more than one chunk of such a file in memory', async (t) => {
  const { file, asked } = await make(t, Buffer.alloc(5 * chunk + 1), Infinity);
  const target = new SlowStream();
  const { signal } = new AbortController();
  await transfer(target, file, 0, file.size, signal);
  t.equal(target.largest, chunk);
  t.same(asked, [chunk, chunk, chunk, chunk, chunk, 1]);
  t.equal(getEventListeners(signal, 'abort').length, 0, 'and nothing is left listening');
});

t.test('such a file that cannot be read on is its own error, and one that gives nothing is too short', async (t) => {
  const { file } = await make(t, Buffer.alloc(3 * chunk), Infinity);
  const broken = new ServiceError('BROKEN_ISO', 'wrong');
  const read = (position: number, length: number) =>
    position < chunk ? file.read(position, length) : Promise.reject(broken);
  const target = new SlowStream();
  const { signal } = new AbortController();
  await t.rejects(transfer(target, { ...file, read }, 0, file.size, signal), broken);
  t.equal(target.content.length, chunk, 'what came before was sent');
  await t.rejects(transfer(target, file, file.size, 1, signal), { code: 'TRUNCATED' });
});

t.test('a connection that is gone ends the sending of such a file', async (t) => {
  const { file, asked } = await make(t, Buffer.alloc(10 * chunk), Infinity);
  await t.rejects(transfer(new SlowStream(), file, 0, file.size, AbortSignal.abort()), { code: 'TIMEOUT' });
  t.equal(asked.length, 1, 'no more of it is read');
});
