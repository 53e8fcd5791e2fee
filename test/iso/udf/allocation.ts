import t from 'tap';
import { Budget } from '../../../lib/iso/budget.js';
import { hole } from '../../../lib/iso/entries.js';
import { allocate, type Allocated, maxExtents } from '../../../lib/iso/udf/allocation.js';
import type { Icb } from '../../../lib/iso/udf/icb.js';
import { allocationExtent, longDescriptor, shortDescriptor } from '../../fixtures/udf-builder.js';
import { spaceOf } from '../../fixtures/udf-volume.js';

const bs = 512;

/** An image of so many blocks, with these bytes in some of them. */
function blocks(count: number, contents: Readonly<Record<number, Buffer>> = {}): Buffer {
  const image = Buffer.alloc(count * bs);
  for (const [block, bytes] of Object.entries(contents)) bytes.copy(image, Number(block) * bs);
  return image;
}

interface FileOptions {
  readonly image?: Buffer;
  readonly form?: Icb['form'];
  readonly budget?: Budget;
}

async function allocateFile(size: number, area: readonly Buffer[], options: FileOptions = {}): Promise<Allocated> {
  const { image = blocks(20), form = 'short', budget = new Budget() } = options;
  const shared = { strategy: 4, fileType: 5, links: 1, modified: undefined, areaAt: 176 };
  const icb = { ...shared, form, size, area: Buffer.concat(area) };
  return allocate(spaceOf(image, bs), icb, { partition: 0, block: 2 }, budget);
}

function at(block: number, length: number) {
  return { offset: block * bs, length };
}

t.test('short and long descriptors lead to the bytes of a file', async (t) => {
  const short = await allocateFile(1000, [shortDescriptor(bs, 3), shortDescriptor(488, 9)]);
  t.same(short, { extents: [at(3, bs), at(9, 488)], missing: 0, end: 9 * bs + 488 });
  const long = await allocateFile(1000, [longDescriptor(bs, 3), longDescriptor(488, 9)], { form: 'long' });
  t.same(long.extents, short.extents);
});

t.test('extents that follow each other are one', async (t) => {
  const area = [shortDescriptor(bs, 3), shortDescriptor(bs, 4), shortDescriptor(bs, 5), shortDescriptor(1, 8)];
  t.same((await allocateFile(3 * bs + 1, area)).extents, [at(3, 3 * bs), at(8, 1)]);
});

t.test('what is not recorded or not allocated reads as zeros', async (t) => {
  const area = [shortDescriptor(bs, 3), shortDescriptor(bs, 4, 1), shortDescriptor(bs, 0, 2), shortDescriptor(7, 5)];
  const holes = { offset: hole, length: 2 * bs };
  t.same((await allocateFile(3 * bs + 7, area)).extents, [at(3, bs), holes, at(5, 7)]);
});

t.test('a hole may be larger than the .iso', async (t) => {
  const gigabyte = 2 ** 30 - bs;
  const area = Array.from({ length: 20 }, () => shortDescriptor(gigabyte, 0, 2));
  t.same((await allocateFile(20 * gigabyte, area)).extents, [{ offset: hole, length: 20 * gigabyte }]);
});

t.test('what is allocated beyond the end of a file is no part of it', async (t) => {
  const area = [shortDescriptor(2 * bs, 3), shortDescriptor(bs, 9, 1), shortDescriptor(bs, 99)];
  t.same((await allocateFile(bs + 1, area)).extents, [at(3, bs + 1)]);
  t.same((await allocateFile(0, area)).extents, []);
});

t.test('data inside the file entry is an extent of the .iso', async (t) => {
  const inside = { form: 'inside' } as const;
  t.same((await allocateFile(5, [Buffer.from('hello')], inside)).extents, [{ offset: 2 * bs + 176, length: 5 }]);
  t.same((await allocateFile(0, [], inside)).extents, []);
  t.equal((await allocateFile(6, [Buffer.from('hello')], inside)).extents, undefined, 'more than there is');
  t.equal((await allocateFile(4, [Buffer.from('hello')], inside)).extents, undefined, 'as in Linux, less too');
});

t.test('where descriptors end before the file does, the rest is missing', async (t) => {
  const ends: [name: string, area: Buffer[], extents: object[], missing: number][] = [
    ['too short', [shortDescriptor(bs, 3)], [at(3, bs)], 1000 - bs],
    ['none', [], [], 1000],
    ['half of one', [shortDescriptor(bs, 3).subarray(0, 7)], [], 1000],
    [
      'an empty one ends the list',
      [shortDescriptor(bs, 3), shortDescriptor(0, 0), shortDescriptor(bs, 9)],
      [at(3, bs)],
      1000 - bs,
    ],
    ['one that ends inside its block is for all of it', [shortDescriptor(100, 3)], [at(3, bs)], 1000 - bs],
  ];
  for (const [name, area, extents, missing] of ends) {
    t.match(await allocateFile(1000, area), { extents, missing }, name);
  }
  const image = blocks(20, { 5: allocationExtent(5, Buffer.alloc(0)) });
  const area = [shortDescriptor(bs, 3), shortDescriptor(bs, 5, 3)];
  t.match(await allocateFile(1000, area, { image }), { extents: [at(3, bs)], missing: 1000 - bs }, 'in another block');
});

t.test('of an extent that ends inside a block all of that is shown, as in Linux', async (t) => {
  const cases: [extents: [length: number, block: number][], shown: object[]][] = [
    [
      [
        [100, 3],
        [bs, 7],
      ],
      [at(3, bs), at(7, 100)],
    ],
    [
      [
        [bs + 100, 3],
        [bs - 100, 9],
      ],
      [at(3, 2 * bs)],
    ],
    [
      [
        [100, 3],
        [100, 0xffffff],
        [bs, 7],
      ],
      [at(3, bs), at(7, 200)],
    ],
  ];
  for (const [extents, shown] of cases) {
    const size = extents.reduce((sum, [length]) => sum + length, 0);
    const area = extents.map(([length, block]) => shortDescriptor(length, block));
    t.match(await allocateFile(size, area), { extents: shown, missing: 0 }, JSON.stringify(extents));
  }
});

t.test('extended descriptors, and unknown partitions, are refused', async (t) => {
  t.equal((await allocateFile(bs, [shortDescriptor(bs, 3)], { form: 'extended' })).extents, undefined);
  t.equal((await allocateFile(bs, [longDescriptor(bs, 3, 1)], { form: 'long' })).extents, undefined);
});

t.test('an extent that leaves the .iso is not served, and tells how far it goes', async (t) => {
  const gone = await allocateFile(2 * bs, [shortDescriptor(2 * bs, 19)]);
  t.same(gone, { extents: undefined, missing: 0, end: 21 * bs });
  const far = await allocateFile(bs, [shortDescriptor(bs, 0xffffffff)]);
  t.same(far, { extents: undefined, missing: 0, end: (0xffffffff + 1) * bs });
  t.same((await allocateFile(bs, [shortDescriptor(bs, 19)])).extents, [at(19, bs)], 'the last block is inside');
});

t.test('a size of 8 TiB is mostly missing, and no work', async (t) => {
  const size = 8 * 2 ** 40 - 1;
  t.equal((await allocateFile(size, [shortDescriptor(bs, 3)])).missing, size - bs);
});

t.test('descriptors go on in other blocks', async (t) => {
  const image = blocks(20, {
    5: allocationExtent(5, Buffer.concat([shortDescriptor(bs, 10), shortDescriptor(bs, 7, 3)])),
    7: allocationExtent(7, shortDescriptor(9, 12)),
  });
  const area = [shortDescriptor(bs, 3), shortDescriptor(bs, 5, 3)];
  t.same((await allocateFile(2 * bs + 9, area, { image })).extents, [at(3, bs), at(10, bs), at(12, 9)]);
});

t.test('continuations that never end, lead nowhere, or are none, break the file', async (t) => {
  const image = blocks(20, {
    5: allocationExtent(5, shortDescriptor(bs, 5, 3)),
    6: allocationExtent(6, shortDescriptor(bs, 7, 3)),
    7: allocationExtent(7, shortDescriptor(bs, 6, 3)),
    8: allocationExtent(8, shortDescriptor(bs, 10), { length: bs }),
    9: allocationExtent(8, shortDescriptor(bs, 10)),
    10: allocationExtent(10, shortDescriptor(bs, 10), { crc: 1 }),
  });
  const budget = new Budget(1000);
  for (const block of [5, 6, 8, 9, 10, 12, 20, 0xffffffff]) {
    const { extents } = await allocateFile(bs, [shortDescriptor(bs, block, 3)], { image, budget });
    t.equal(extents, undefined, `block ${block}`);
  }
  const outside = await allocateFile(bs, [longDescriptor(bs, 5, 9, 3)], { image, form: 'long' });
  t.equal(outside.extents, undefined, 'in an unknown partition');
});

t.test('a continuation beyond the end of the .iso tells how far the volume goes', async (t) => {
  const space = spaceOf(blocks(20), bs, 100);
  const icb = {
    strategy: 4,
    fileType: 5,
    links: 1,
    modified: undefined,
    areaAt: 176,
    form: 'short',
    size: bs,
  } as const;
  const area = shortDescriptor(bs, 50, 3);
  t.same(await allocate(space, { ...icb, area }, { partition: 0, block: 2 }, new Budget()), {
    extents: undefined,
    missing: 0,
    end: 51 * bs,
  });
});

/** A chain of continuations in which every extent is a block away from the last. */
function fragmented(extents: number): Buffer {
  const perBlock = 60;
  const contents: Record<number, Buffer> = {};
  for (let block = 0; block * perBlock < extents; block++) {
    const count = Math.min(perBlock, extents - block * perBlock);
    const list = Array.from({ length: count }, (_, index) => shortDescriptor(bs, (index % 2) * 2));
    contents[10 + block] = allocationExtent(10 + block, Buffer.concat([...list, shortDescriptor(bs, 11 + block, 3)]));
  }
  return blocks(12 + Math.ceil(extents / perBlock), contents);
}

t.test('a fragmented file is served up to 65,536 extents', async (t) => {
  const area = [shortDescriptor(bs, 10, 3)];
  const good = await allocateFile(maxExtents * bs, area, { image: fragmented(maxExtents) });
  t.equal(good.extents?.length, maxExtents);
  const bad = await allocateFile((maxExtents + 1) * bs, area, { image: fragmented(maxExtents + 1) });
  t.equal(bad.extents, undefined);
});

t.test('a file that is too much work ends the reading', async (t) => {
  const allocated = allocateFile(6000 * bs, [shortDescriptor(bs, 10, 3)], {
    image: fragmented(6000),
    budget: new Budget(10),
  });
  await t.rejects(allocated, { code: 'BROKEN_ISO' });
});

t.test('extents that are kept cost what they take in memory, those that become one do not', async (t) => {
  const apart = allocateFile(6000 * bs, [shortDescriptor(bs, 10, 3)], {
    image: fragmented(6000),
    budget: new Budget(1500),
  });
  await t.rejects(apart, { code: 'BROKEN_ISO' });
  const area = Array.from({ length: 6000 }, (_, index) => shortDescriptor(bs, index));
  const together = await allocateFile(6000 * bs, area, { image: blocks(6000), budget: new Budget(1500) });
  t.same(together.extents, [at(0, 6000 * bs)]);
});
