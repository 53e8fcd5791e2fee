import { truncate } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { type Chunk, ChunkCache, chunkBytes } from '../../lib/http/chunks.js';
import type { OpenFile } from '../../lib/tree.js';
import { fill } from '../../lib/tree-content.js';
import { deferred } from '../fixtures/http-server.js';
import { openBytes, patternBytes, storeBytes } from '../fixtures/open-file.js';

const room = (chunks: number) => Math.ceil((chunks * chunkBytes * 16) / 15);
const place = (index: number, length = chunkBytes) => ({ offset: index * chunkBytes, length });

/** A file of so many chunks, and a cache for it that tells what it reads and reads when it is allowed to. */
async function setUp(t: Test, { length = 4 * chunkBytes, bytes = room(16), held = false } = {}) {
  const stored = patternBytes(length);
  const path = await storeBytes(t, stored);
  const file = await openBytes(path, [{ offset: 0, length }]);
  t.teardown(() => file.close());
  const gate = deferred();
  if (!held) gate.resolve();
  const reads: number[] = [];
  const cache = new ChunkCache(bytes, async (buffer, descriptor, position) => {
    reads.push(position);
    await gate.promise;
    return fill(buffer, descriptor, position);
  });
  const bytesOf = ({ offset, length }: { offset: number; length: number }) => stored.subarray(offset, offset + length);
  return { path, file, cache, reads, gate, bytesOf };
}

/** Takes a chunk that may have been wanted before, or wants it twice. */
async function take(cache: ChunkCache, file: OpenFile, index: number, length?: number): Promise<Chunk | undefined> {
  const where = place(index, length);
  return (await cache.take(file, where)) ?? (await cache.take(file, where));
}

t.test('fifty who want a chunk at the same time cost one read, and all but the first get its bytes', async (t) => {
  const { cache, file, reads, gate, bytesOf } = await setUp(t, { held: true });
  t.equal(cache.take(file, place(1)), undefined, 'who could have been the only one');
  const taken = Array.from({ length: 49 }, async () => cache.take(file, place(1)));
  t.equal(cache.peek(file, place(1)), undefined, 'while it is read nobody sees it');
  gate.resolve();
  const chunks = await Promise.all(taken);
  t.ok(chunks.every((chunk) => chunk?.bytes.equals(bytesOf(place(1)))));
  for (const chunk of chunks) chunk?.release(true);
  t.ok(cache.peek(file, place(1))?.equals(bytesOf(place(1))));
  (await cache.take(file, place(1)))?.release(true);
  t.same(reads, [chunkBytes]);
});

t.test('who reads a file from end to end alone drives out nothing', async (t) => {
  const { cache, file, reads } = await setUp(t, { bytes: room(4) });
  for (const index of [0, 1, 2]) (await take(cache, file, index))?.release(true);
  t.equal(cache.take(file, place(3)), undefined);
  t.not(cache.borrow(), undefined);
  t.equal(cache.borrow(), undefined, 'a quarter is for such readers');
  for (const index of [0, 1, 2]) t.not(cache.peek(file, place(index)), undefined);
  t.same(reads, [0, 1, 2].map((index) => index * chunkBytes)); // prettier-ignore
});

t.test('a chunk that is in memory is given without waiting', async (t) => {
  const { cache, file } = await setUp(t);
  (await take(cache, file, 0))?.release(true);
  const chunk = cache.take(file, place(0));
  t.notOk(chunk instanceof Promise);
  t.not(chunk, undefined);
});

t.test('memory is bounded: when every chunk is in use the next one is not kept', async (t) => {
  const { cache, file } = await setUp(t, { bytes: room(2) });
  const [first, second] = [await take(cache, file, 0), await take(cache, file, 1)];
  t.equal(await take(cache, file, 2), undefined);
  second?.release(true);
  const third = await take(cache, file, 2);
  t.equal(third?.bytes.buffer, second?.bytes.buffer, 'the memory is used again');
  t.not(third?.bytes.buffer, first?.bytes.buffer);
});

t.test('a cache smaller than a chunk keeps nothing, small files neither', async (t) => {
  for (const bytes of [0, chunkBytes - 1]) {
    const { cache, file, reads } = await setUp(t, { bytes });
    t.equal(await take(cache, file, 0), undefined);
    t.equal(await take(cache, file, 0, 100), undefined);
    t.equal(cache.peek(file, place(0)), undefined);
    t.same(reads, []);
  }
});

t.test('small files have memory of their own: thousands of them drive no chunk out', async (t) => {
  const { cache, file, reads } = await setUp(t, { bytes: room(1) });
  (await take(cache, file, 0))?.release(true);
  for (let index = 0; index < 100; index++) {
    const small = { ...file, source: `small ${index}` };
    (await take(cache, small, 1, 4096))?.release(true);
  }
  (await take(cache, file, 0))?.release(true);
  t.equal(reads.filter((offset) => offset === 0).length, 1);
});

t.test('a chunk that cannot be read is not kept, and its memory is free again', async (t) => {
  const { cache, file, gate, path, bytesOf } = await setUp(t, { bytes: room(1), held: true });
  const unreadable = { ...file, descriptor: 1_000_000 };
  cache.take(file, place(0));
  const taken = [unreadable, file].map(async (one) => cache.take(one, place(0)));
  gate.resolve();
  t.same(await Promise.all(taken), [undefined, undefined], 'all who waited are told');
  const chunk = await take(cache, file, 0);
  t.ok(chunk?.bytes.equals(bytesOf(place(0))), 'the next one reads anew');
  chunk?.release(true);
  await truncate(path, chunkBytes + 5);
  t.equal(await take(cache, file, 1), undefined, 'the file has become shorter');
  t.not(await take(cache, file, 0), undefined);
});

t.test('a file that has changed has chunks of its own', async (t) => {
  const { cache, file, reads } = await setUp(t);
  (await take(cache, file, 0))?.release(true);
  t.equal(cache.peek({ ...file, source: 'after the change' }, place(0)), undefined);
  (await take(cache, { ...file, source: 'after the change' }, 0))?.release(true);
  t.same(reads, [0, 0]);
});

t.test('a chunk that somebody below may still read is never written again', async (t) => {
  const { cache, file, reads } = await setUp(t, { bytes: room(1) });
  const [one, two] = [await take(cache, file, 0), await take(cache, file, 0)];
  one?.release(false);
  t.equal(cache.peek(file, place(0)), undefined);
  t.equal(await take(cache, file, 1), undefined, 'the other one has it still, and counts');
  two?.release(true);
  const next = await take(cache, file, 1);
  t.not(next?.bytes.buffer, one?.bytes.buffer);
  t.same(reads, [0, chunkBytes]);
});
