import { getEventListeners } from 'node:events';
import { truncate, writeFile } from 'node:fs/promises';
import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { ChunkCache, chunkBytes } from '../../lib/http/chunks.js';
import { slice, transfer } from '../../lib/http/transfer.js';
import { type Extent, hole } from '../../lib/tree.js';
import { fill } from '../../lib/tree-content.js';
import { deferred, eventually } from '../fixtures/http-server.js';
import {
  contentOf,
  countDescriptors,
  openBytes,
  patternBytes,
  randomBytes,
  randomExtents,
  storeBytes,
} from '../fixtures/open-file.js';
import { Random } from '../fixtures/random.js';

const chunk = 128 * 1024;

/** A clock that goes on by so many milliseconds whenever it is looked at. */
function slowClock(step = 10_000): () => number {
  let now = 0;
  return () => (now += step);
}

/** A stream that takes its time, and looks at the bytes of a chunk only when it is done with it, as a kernel does. */
class SlowStream extends Writable {
  readonly #chunks: Buffer[] = [];
  readonly sizes: number[] = [];
  /** In which the bytes were. */
  readonly memory = new Set<ArrayBufferLike>();
  largest = 0;

  constructor() {
    super({ highWaterMark: 1024 });
  }

  override _write(bytes: Buffer, _encoding: BufferEncoding, done: (error?: Error) => void): void {
    this.sizes.push(bytes.length);
    this.memory.add(bytes.buffer);
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

t.test(
  'any slice of a large file is sent as these bytes of it, with any cache and to clients of any speed',
  async (t) => {
    const random = new Random(5);
    const stored = patternBytes(5 * chunkBytes + 12_345);
    const path = await storeBytes(t, stored);
    const speeds = [() => 0, () => performance.now(), slowClock(), slowClock(40)];
    const caches = [0, 1, 3, 100].map((chunks) => new ChunkCache(Math.ceil((chunks * chunkBytes * 16) / 15)));
    for (let run = 0; run < 60; run += 1) {
      const extents = randomExtents(random, stored.length, 2 * chunkBytes + 100_000);
      const whole = contentOf(stored, extents);
      const sendings = Array.from({ length: 1 + random.below(5) }, async () => {
        const start = random.below(whole.length + 1);
        const length = random.below(Math.min(whole.length - start, 1 + random.below(whole.length + 1)) + 1);
        const file = await openBytes(path, extents);
        const target = new SlowStream();
        const options = { chunks: caches[run % caches.length], now: speeds[random.below(speeds.length)] ?? (() => 0) };
        await transfer(target, file, start, length, new AbortController().signal, options);
        await file.close();
        const isSame = target.content.equals(whole.subarray(start, start + length));
        if (!isSame) t.fail(`${JSON.stringify(extents)} from ${start}, ${length} bytes, run ${run}`);
      });
      await Promise.all(sendings);
    }
    t.pass();
  },
);

t.test('who reads a file while it is sent to others gets it from memory', async (t) => {
  const { file } = await store(t, patternBytes(3 * chunkBytes + 5));
  let reads = 0;
  const chunks = new ChunkCache(100 * chunkBytes, (...place) => {
    reads += 1;
    return fill(...place);
  });
  const targets = Array.from({ length: 20 }, () => new SlowStream());
  const { signal } = new AbortController();
  await Promise.all(targets.map((target) => transfer(target, file, 0, file.size, signal, { chunks })));
  t.equal(reads, 4);
  for (const target of targets) t.equal(target.content.length, file.size);
  t.same(targets[0]?.sizes.slice(0, 3), [64, 256, 192].map((size) => size * 1024), 'writes grow up to a chunk'); // prettier-ignore
  t.equal(targets[0]?.largest, chunkBytes);
});

t.test('chunks begin where the file does, wherever in an ISO that is, and do not reach beyond it', async (t) => {
  const extents = [
    { offset: 2048, length: chunkBytes + 3000 },
    { offset: 2 * chunkBytes, length: 100_000 },
  ];
  const { file } = await store(t, patternBytes(4 * chunkBytes), extents);
  const reads: [position: number, length: number][] = [];
  const chunks = new ChunkCache(100 * chunkBytes, (bytes, descriptor, position) => {
    reads.push([position, bytes.length]);
    return fill(bytes, descriptor, position);
  });
  const { signal } = new AbortController();
  await transfer(new SlowStream(), file, 100_000, file.size - 100_000, signal, { chunks });
  await transfer(new SlowStream(), file, 0, file.size, signal, { chunks });
  t.same(reads, [
    [2048, chunkBytes],
    [2048 + chunkBytes, 3000],
    [2 * chunkBytes, 100_000],
  ]);
});

t.test('a slow client has a small buffer of its own and fills no cache, but reads what is there', async (t) => {
  const stored = patternBytes(4 * chunkBytes);
  const { file } = await store(t, stored);
  const read: number[] = [];
  const chunks = new ChunkCache(100 * chunkBytes, (bytes, descriptor, position) => {
    read.push(position / chunkBytes);
    return fill(bytes, descriptor, position);
  });
  const kept = { offset: 2 * chunkBytes, length: chunkBytes };
  chunks.take(file, kept);
  const chunk = await chunks.take(file, kept);
  chunk?.bytes.write('this is from memory');
  chunk?.release(true);
  const target = new SlowStream();
  await transfer(target, file, 0, file.size, new AbortController().signal, { chunks, now: slowClock() });
  t.same(read, [2]);
  t.same([...new Set(target.sizes.slice(1))], [16 * 1024]);
  t.ok(target.content.includes('this is from memory'));
  stored.write('this is from memory', kept.offset);
  t.ok(target.content.equals(stored));
});

t.test('slow clients hold no chunk: there is room for all others while a write takes long', async (t) => {
  const { file } = await store(t, patternBytes(2 * chunkBytes));
  const chunks = new ChunkCache(1.1 * chunkBytes);
  const stuck: (() => void)[] = [];
  const closed = new AbortController();
  const target = new Writable({
    highWaterMark: 1,
    write: (_bytes, _encoding, done) => {
      if (stuck.push(done) === 1) done();
    },
  });
  const sending = transfer(target, file, 0, file.size, closed.signal, { chunks, now: slowClock() });
  t.ok(await eventually(() => stuck.length === 2));
  for (let time = 0; time < 2; time++) {
    await transfer(new SlowStream(), file, chunkBytes, chunkBytes, closed.signal, { chunks });
  }
  t.not(chunks.peek(file, { offset: chunkBytes, length: chunkBytes }), undefined, 'others have used the cache');
  closed.abort();
  await t.rejects(sending, { code: 'TIMEOUT' });
});

t.test('where a chunk cannot be read, its good bytes are sent still', async (t) => {
  const stored = patternBytes(2 * chunkBytes);
  const { file, path } = await store(t, stored);
  await truncate(path, chunkBytes + 5000);
  const target = new SlowStream();
  const chunks = new ChunkCache(100 * chunkBytes);
  const { signal } = new AbortController();
  await transfer(target, file, chunkBytes - 100_000, 100_000 + 5000, signal, { chunks });
  t.ok(target.content.equals(stored.subarray(chunkBytes - 100_000, chunkBytes + 5000)));
  await t.rejects(transfer(new SlowStream(), file, 0, file.size, signal, { chunks }), { code: 'TRUNCATED' });
});

t.test('a file that is empty now is an error before anything is written', async (t) => {
  const { file, path } = await store(t, Buffer.alloc(10));
  await truncate(path, 0);
  const target = new SlowStream();
  const { signal } = new AbortController();
  await t.rejects(transfer(target, file, 0, 10, signal, { chunks: new ChunkCache(10 * chunkBytes) }), {
    code: 'TRUNCATED',
  });
  t.same(target.sizes, []);
});

t.test('a client that leaves while its file is read for others too keeps it open for them', async (t) => {
  const stored = patternBytes(2 * chunkBytes);
  const path = await storeBytes(t, stored);
  const other = `${path}-other`;
  await writeFile(other, Buffer.alloc(2 * chunkBytes));
  const extents = [{ offset: 0, length: stored.length }];
  const gate = deferred();
  const chunks = new ChunkCache(100 * chunkBytes, async (...place) => {
    await gate.promise;
    return fill(...place);
  });
  const send = async (target: Writable, signal: AbortSignal) => {
    const file = await openBytes(path, extents);
    await transfer(target, file, 0, chunkBytes, signal, { chunks }).finally(() => file.close());
  };
  const leaving = new AbortController();
  let isOver = false;
  const first = send(new SlowStream(), leaving.signal).finally(() => (isOver = true));
  const target = new SlowStream();
  await turn();
  const second = send(target, new AbortController().signal);
  leaving.abort();
  // What is opened now gets the numbers of descriptors that have been closed.
  const opened = await Promise.all(Array.from({ length: 10 }, () => openBytes(other, extents)));
  t.notOk(isOver);
  gate.resolve();
  await t.rejects(first, { code: 'TIMEOUT' });
  await second;
  t.ok(target.content.equals(stored.subarray(0, chunkBytes)));
  await Promise.all(opened.map((file) => file.close()));
  t.equal(await countDescriptors(path), 0);
});

t.test('who leaves gives its chunk back, also when the stream never does', async (t) => {
  const { file } = await store(t, patternBytes(3 * chunkBytes));
  const chunks = new ChunkCache(1.1 * chunkBytes);
  const stuck: Buffer[] = [];
  for (let count = 0; count < 3; count++) {
    chunks.take(file, { offset: count * chunkBytes, length: chunkBytes });
    const closed = new AbortController();
    const target = new Writable({
      write: (bytes: Buffer) => {
        stuck.push(bytes);
        setImmediate(() => closed.abort());
      },
    });
    const sending = transfer(target, file, count * chunkBytes, chunkBytes, closed.signal, { chunks });
    await t.rejects(sending, { code: 'TIMEOUT' });
    t.equal(getEventListeners(closed.signal, 'abort').length, 0);
  }
  t.equal(new Set(stuck.map((bytes) => bytes.buffer)).size, 3, 'and what it may still read is never written again');
  const first = { offset: 0, length: chunkBytes };
  t.not((await chunks.take(file, first)) ?? (await chunks.take(file, first)), undefined);
});

t.test('who reads alone has the same memory lent again and again, and leaves it as it was', async (t) => {
  const stored = patternBytes(5 * chunkBytes);
  const { file } = await store(t, stored);
  const chunks = new ChunkCache(5 * chunkBytes);
  const target = new SlowStream();
  await transfer(target, file, 0, file.size, new AbortController().signal, { chunks });
  t.ok(target.content.equals(stored));
  t.equal(target.largest, chunkBytes);
  const lent = [...target.memory].filter(({ byteLength }) => byteLength === chunkBytes);
  t.equal(lent.length, 1);
  t.equal(chunks.borrow()?.buffer, lent[0]);
});

t.test("clients that leave while they wait for their turn to read are in nobody's way", async (t) => {
  const { file } = await store(t, patternBytes(100_000));
  const closed = new AbortController();
  const leaving = Array.from({ length: 10 }, () => transfer(new SlowStream(), file, 0, file.size, closed.signal));
  closed.abort();
  await Promise.all(leaving.map((sending) => t.rejects(sending, { code: 'TIMEOUT' })));
  const target = new SlowStream();
  await transfer(target, file, 0, file.size, new AbortController().signal);
  t.equal(target.content.length, file.size);
});

t.test('a pace has each piece of any kind of file in its hands', async (t) => {
  const stored = patternBytes(100_000);
  const extents = [
    { offset: 0, length: 100_000 },
    { offset: hole, length: 50_000 },
  ];
  const { file } = await store(t, stored, extents);
  const content = { ...file, read: (start: number, length: number) => Promise.resolve(Buffer.alloc(length, start)) };
  for (const kind of [file, content]) {
    let taken = 0;
    const pace = { bytes: 1500, take: (bytes: number) => Promise.resolve(void (taken += bytes)) };
    const target = new SlowStream();
    const chunks = new ChunkCache(10 * chunkBytes);
    await transfer(target, kind, 0, file.size, new AbortController().signal, { pace, chunks });
    t.equal(taken, file.size);
    t.equal(Math.max(...target.sizes), 1500);
  }
});

t.test('without a cache a reader never has more than one piece in memory, of bytes or of a hole', async (t) => {
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
