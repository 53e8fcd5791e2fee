import t from 'tap';
import { Budget } from '../../../lib/iso/budget.js';
import { readRuns } from '../../../lib/iso/udf/runs.js';
import type { Space } from '../../../lib/iso/udf/space.js';

const blockSize = 2048;
/** Bytes between two blocks that are never read together. */
const far = 10 ** 6;

function spaceOf(read: Space['read']): Space {
  return { read, blockSize, bytes: 100 * far } as Space;
}

t.test('blocks that lie near each other are read at once, the others alone', async (t) => {
  const reads: (readonly [offset: number, length: number])[] = [];
  const space = spaceOf((offset, length) => {
    reads.push([offset, length]);
    return Promise.resolve(Buffer.alloc(length));
  });
  const blocks = [0, blockSize, 3 * blockSize, far, 2 * far].map((offset) => ({ offset }));
  const found: unknown[] = [];
  for await (const run of readRuns(space, blocks, new Budget())) found.push([run.start, run.blocks.length]);
  t.same(found, [
    [0, 3],
    [far, 1],
    [2 * far, 1],
  ]);
  t.same(reads, [
    [0, 4 * blockSize],
    [far, blockSize],
    [2 * far, blockSize],
  ]);
});

t.test('the next run is being read while one is looked at, and only that one', async (t) => {
  let reads = 0;
  const space = spaceOf((_, length) => {
    reads++;
    return Promise.resolve(Buffer.alloc(length));
  });
  const blocks = [0, far, 2 * far].map((offset) => ({ offset }));
  const seen: number[] = [];
  for await (const run of readRuns(space, blocks, new Budget())) {
    t.equal(run.bytes.length, blockSize);
    seen.push(reads);
  }
  t.same(seen, [2, 3, 3]);
});

t.test('whoever stops early is let go when nothing is read any more', async (t) => {
  let reading = 0;
  const space = spaceOf(async (_, length) => {
    reading++;
    await new Promise((resolve) => setTimeout(resolve, 20));
    reading--;
    return Buffer.alloc(length);
  });
  const blocks = [0, far, 2 * far].map((offset) => ({ offset }));
  for await (const run of readRuns(space, blocks, new Budget())) {
    t.equal(run.start, 0);
    t.equal(reading, 1);
    break;
  }
  t.equal(reading, 0);
});

t.test('a read that fails ahead of its time is an error when its turn comes', async (t) => {
  const space = spaceOf((offset, length) =>
    offset === 0 ? Promise.resolve(Buffer.alloc(length)) : Promise.reject(new Error('EIO')),
  );
  const runs = readRuns(space, [{ offset: 0 }, { offset: far }], new Budget());
  t.match(await runs.next(), { value: { start: 0 } });
  await new Promise((resolve) => setTimeout(resolve, 5));
  await t.rejects(runs.next(), { message: 'EIO' });
});
