import t from 'tap';
import { FolderCache } from '../../lib/iso/cache.js';
import type { Children, IsoEntry, IsoFolder } from '../../lib/iso/entries.js';

function folder(offset: number): IsoFolder {
  return { type: 'folder', offset, length: 2048, modified: undefined, parent: undefined, depth: 0 };
}

/** As many entries as the folder's offset says. */
function childrenOf({ offset }: IsoFolder): Children {
  const empty: IsoEntry = { type: 'file', extents: [], size: 0, modified: undefined };
  return new Map(Array.from({ length: offset }, (_, index) => [String(index), empty]));
}

/** A cache and the folders that it has really read. */
function setUp(limit: number) {
  const reads: number[] = [];
  const cache = new FolderCache((asked) => {
    reads.push(asked.offset);
    return Promise.resolve(childrenOf(asked));
  }, limit);
  return { cache, reads };
}

t.test('a folder is read once', async (t) => {
  const { cache, reads } = setUp(100);
  const one = folder(5);
  const [first, second] = await Promise.all([cache.get(one), cache.get(one)]);
  t.equal(first, second, 'two who ask at once wait for one reading');
  t.equal((await cache.get(one)).size, 5);
  t.same(reads, [5]);
});

t.test('the folder that was not asked for longest makes room', async (t) => {
  const { cache, reads } = setUp(30);
  const [a, b, c] = [folder(9), folder(10), folder(11)] as const;
  for (const one of [a, b, a, c]) await cache.get(one);
  t.same(reads, [9, 10, 11]);
  await cache.get(a);
  t.same(reads, [9, 10, 11], 'a was used in between and is still there');
  await cache.get(b);
  t.same(reads, [9, 10, 11, 10], 'b had to go');
});

t.test('a folder beyond every limit is served, and kept until the next one comes', async (t) => {
  const { cache, reads } = setUp(3);
  const big = folder(50);
  t.equal((await cache.get(big)).size, 50);
  await cache.get(big);
  t.same(reads, [50]);
  await cache.get(folder(1));
  await cache.get(big);
  t.same(reads, [50, 1, 50]);
});

t.test('empty folders take room too', async (t) => {
  const { cache, reads } = setUp(3);
  const empty = [1, 2, 3, 4].map(() => folder(0));
  for (const one of [...empty, ...empty]) await cache.get(one);
  t.equal(reads.length, 8);
});

t.test('a reading that failed is tried again', async (t) => {
  let isBroken = true;
  const cache = new FolderCache((asked) =>
    isBroken ? Promise.reject(new Error('the disk is gone')) : Promise.resolve(childrenOf(asked)),
  );
  const one = folder(2);
  await t.rejects(cache.get(one), { message: 'the disk is gone' });
  isBroken = false;
  t.equal((await cache.get(one)).size, 2);
});
