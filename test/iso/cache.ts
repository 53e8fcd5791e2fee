import t from 'tap';
import { FolderCache } from '../../lib/iso/cache.js';

/** A folder of so many entries. */
class Sized {
  constructor(readonly count: number) {}
}

interface Entry {
  readonly type: string;
  readonly extents?: readonly object[];
  readonly target?: string;
}

type Children = ReadonlyMap<string, Entry>;

function childrenOf({ count }: Sized, entry: Entry = { type: 'file' }): Children {
  return new Map(Array.from({ length: count }, (_, index) => [String(index), entry]));
}

/** A cache and the folders that were really read. */
function setUp(limit: number) {
  const reads: number[] = [];
  const kept = new FolderCache<Children>(limit);
  const get = (asked: Sized) =>
    kept.get(asked, () => {
      reads.push(asked.count);
      return Promise.resolve(childrenOf(asked));
    });
  return { cache: { get }, reads };
}

t.test('a folder is read once', async (t) => {
  const { cache, reads } = setUp(100);
  const one = new Sized(5);
  const [first, second] = await Promise.all([cache.get(one), cache.get(one)]);
  t.equal(first, second, 'two who ask at once wait for one reading');
  t.equal((await cache.get(one)).size, 5);
  t.same(reads, [5]);
});

t.test('the folder that was not asked for longest makes room', async (t) => {
  const { cache, reads } = setUp(30);
  const [a, b, c] = [new Sized(9), new Sized(10), new Sized(11)] as const;
  for (const one of [a, b, a, c]) await cache.get(one);
  t.same(reads, [9, 10, 11]);
  await cache.get(a);
  t.same(reads, [9, 10, 11], 'a was used in between and is still there');
  await cache.get(b);
  t.same(reads, [9, 10, 11, 10], 'b had to go');
});

t.test('a folder beyond every limit is served, and kept until the next one comes', async (t) => {
  const { cache, reads } = setUp(3);
  const big = new Sized(50);
  t.equal((await cache.get(big)).size, 50);
  await cache.get(big);
  t.same(reads, [50]);
  await cache.get(new Sized(1));
  await cache.get(big);
  t.same(reads, [50, 1, 50]);
});

t.test('empty folders take room too', async (t) => {
  const { cache, reads } = setUp(3);
  const empty = [1, 2, 3, 4].map(() => new Sized(0));
  for (const one of [...empty, ...empty]) await cache.get(one);
  t.equal(reads.length, 8);
});

t.test('a reading that failed is tried again', async (t) => {
  const cache = new FolderCache<Children>();
  const one = new Sized(2);
  await t.rejects(
    cache.get(one, () => Promise.reject(new Error('the disk is gone'))),
    { message: 'the disk is gone' },
  );
  t.equal((await cache.get(one, () => Promise.resolve(childrenOf(one)))).size, 2);
});

/** How many folders of four such entries a cache for 1000 entries keeps. */
async function countKept(entry: Entry): Promise<number> {
  const kept = new FolderCache<Children>(1000);
  const folders = Array.from({ length: 300 }, () => new Sized(4));
  for (const one of folders) await kept.get(one, () => Promise.resolve(childrenOf(one, entry)));
  let reads = 0;
  for (const one of folders.toReversed()) {
    await kept
      .get(one, () => {
        reads++;
        return Promise.reject(new Error('gone'));
      })
      .catch(() => undefined);
  }
  return folders.length - reads;
}

t.test('a folder counts for its entries, their extents and their targets', async (t) => {
  const extents = (length: number) => Array.from({ length }, () => ({}));
  t.equal(await countKept({ type: 'folder' }), 200);
  t.equal(await countKept({ type: 'file', extents: extents(0) }), 200);
  t.equal(await countKept({ type: 'file', extents: extents(1) }), 200);
  t.equal(await countKept({ type: 'file', extents: extents(100) }), 2);
  t.equal(await countKept({ type: 'link', target: 'short' }), 188);
  t.equal(await countKept({ type: 'link', target: 'x'.repeat(64 * 99) }), 2);
});
