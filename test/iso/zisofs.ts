import { deflateSync } from 'node:zlib';
import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { type Extent, hole, type ReadAt } from '../../lib/iso/entries.js';
import { ZisofsReader } from '../../lib/iso/zisofs.js';
import { readerOf } from '../fixtures/iso-volume.js';
import { Random } from '../fixtures/random.js';
import {
  compress,
  compressBlocks,
  headerBytes,
  joinBlocks,
  type Mistakes,
  mixedContent,
  openZisofs,
  readRange,
} from '../fixtures/zisofs.js';

const blockSizes = [2 ** 15, 2 ** 16, 2 ** 17] as const;
const blockBytes = 2 ** 15;

/** Reads from memory, and keeps a list of what was asked for. */
function listening(image: Buffer): { read: ReadAt; asked: Extent[] } {
  const asked: Extent[] = [];
  const read = readerOf(image);
  return {
    asked,
    read: (offset, length) => {
      asked.push({ offset, length });
      return read(offset, length);
    },
  };
}

/** Cuts bytes into extents that lie in an .iso in the reverse order. */
function scatter(random: Random, stored: Buffer): { image: Buffer; extents: Extent[] } {
  const cuts = Array.from({ length: random.below(5) }, () => random.below(stored.length + 1));
  const ends = [...new Set([...cuts, stored.length])].filter((end) => end > 0).sort((a, b) => a - b);
  const extents = ends.map((end, index) => {
    const start = ends[index - 1] ?? 0;
    return { offset: stored.length - end, length: end - start };
  });
  const image = Buffer.alloc(stored.length);
  let before = 0;
  for (const { offset, length } of extents) before += stored.copy(image, offset, before, before + length);
  return { image, extents };
}

t.test('any range of a compressed file is that slice of it, wherever its stored bytes are', async (t) => {
  const random = new Random(1);
  for (let run = 0; run < 60; run++) {
    const block = random.pick(blockSizes);
    const content = mixedContent(random, 1 + random.below(5 * block));
    const { image, extents } = scatter(random, compress(content, block));
    const zisofs = { headerBytes, blockBytes: block, size: content.length };
    const reader = new ZisofsReader(readerOf(image), extents, zisofs);
    for (let range = 0; range < 5; range++) {
      const start = random.below(content.length);
      const end = start + 1 + random.below(content.length - start);
      const found = await readRange(reader, start, end);
      if (!found.equals(content.subarray(start, end))) t.fail(`${start} to ${end} of ${content.length}, ${block}`);
    }
  }
  t.pass('all of them');
});

t.test('a file that ends with its block, or a byte before or behind it, is read to its end', async (t) => {
  const random = new Random(2);
  for (const block of blockSizes) {
    for (const size of [1, block - 1, block, block + 1, 2 * block, 2 * block + 1]) {
      const content = Buffer.from(Array.from({ length: size }, () => 1 + random.below(255)));
      const reader = openZisofs(compress(content, block), { blockBytes: block, size });
      t.ok((await readRange(reader, 0, size)).equals(content), `${size} in blocks of ${block}`);
    }
  }
});

t.test('a run of zeros among the extents is read as such', async (t) => {
  const content = mixedContent(new Random(6), 3 * blockBytes);
  const more = 4 * (Math.ceil(content.length / blockBytes) + 1) + headerBytes;
  const pointers = (right: number[]) => right.map((pointer) => pointer + 500_000);
  const stored = joinBlocks(compressBlocks(content, blockBytes), { pointers });
  const extents = [
    { offset: 0, length: more },
    { offset: hole, length: 500_000 },
    { offset: more, length: stored.length - more },
  ];
  const zisofs = { headerBytes, blockBytes, size: content.length };
  const reader = new ZisofsReader(readerOf(stored), extents, zisofs);
  t.ok((await readRange(reader, 0, content.length)).equals(content));
});

t.test('a header of another length is left out as the ZF field says', async (t) => {
  const content = Buffer.from('behind a long header');
  const more = 1000;
  const pointers = (right: number[]) => right.map((pointer) => pointer + more);
  const stored = joinBlocks(compressBlocks(content, blockBytes), { pointers });
  const longer = Buffer.concat([stored.subarray(0, headerBytes), Buffer.alloc(more), stored.subarray(headerBytes)]);
  const zisofs = { headerBytes: headerBytes + more, blockBytes, size: content.length };
  const reader = new ZisofsReader(readerOf(longer), [{ offset: 0, length: longer.length }], zisofs);
  t.ok((await readRange(reader, 0, content.length)).equals(content));
});

t.test('a file is read block by block, each once, and its table in pieces', async (t) => {
  const count = 3000;
  const content = Buffer.alloc(count * blockBytes - 5, 'x');
  const stored = compress(content, blockBytes);
  const { read, asked } = listening(stored);
  const reader = openZisofs(stored, { blockBytes, size: content.length }, read);
  const found = await readRange(reader, 0, content.length);
  t.ok(found.equals(content));
  t.equal(asked.length, 1 + 3 + count, 'the magic, three pieces of the table, the blocks');
  t.ok(asked.every(({ length }) => length <= 4096));
});

t.test('a read ends with its block, so that no block is decompressed twice', async (t) => {
  const content = mixedContent(new Random(3), 3 * blockBytes);
  const reader = openZisofs(compress(content, blockBytes), { blockBytes, size: content.length });
  t.equal((await reader.read(0, 10)).length, 10);
  t.equal((await reader.read(0, 10 * blockBytes)).length, blockBytes);
  t.equal((await reader.read(blockBytes - 1, 10)).length, 1);
});

t.test('two who read one open file at a time get what each asked for', async (t) => {
  const content = mixedContent(new Random(4), 2000 * blockBytes);
  const reader = openZisofs(compress(content, blockBytes), { blockBytes, size: content.length });
  const places = [0, 1999, 5, 1100, 3, 1023, 1024].map((block) => block * blockBytes + 17);
  const found = await Promise.all(places.map((place) => reader.read(place, 100)));
  for (const [index, place] of places.entries()) {
    t.ok(found[index]?.equals(content.subarray(place, place + 100)), `byte ${place}`);
  }
});

const whole = Buffer.concat([
  Buffer.alloc(blockBytes, 'first'),
  Buffer.alloc(blockBytes, 'second'),
  Buffer.alloc(100, 'third'),
]);
const blocks = compressBlocks(whole, blockBytes);
const [block = Buffer.alloc(0)] = blocks;

const withPointers = (pointers: Mistakes['pointers']) => joinBlocks(blocks, { ...(pointers && { pointers }) });
const withBlock = (first: Buffer) => joinBlocks(blocks.with(0, first));

/** The example with its first block broken, and the third one never. */
const mistakes: Readonly<Record<string, Buffer>> = {
  'a table that decreases': withPointers((right) => right.with(1, headerBytes)),
  'a pointer past the end': withPointers((right) => right.with(1, 2 ** 31)),
  'equal pointers past the end': withPointers((right) => right.with(0, 2 ** 32 - 1).with(1, 2 ** 32 - 1)),
  'a block that is no stream of zlib': withBlock(Buffer.from('no stream of zlib')),
  'a block that is cut off': withBlock(block.subarray(0, -1)),
  'a block with a wrong checksum': withBlock(Buffer.concat([block.subarray(0, -1), Buffer.of(~(block.at(-1) ?? 0))])),
  'a block that wants a dictionary': withBlock(deflateSync(block, { dictionary: Buffer.from('first') })),
  'a block that is too short': withBlock(deflateSync(whole.subarray(0, blockBytes - 1))),
  'a block with a byte too many': withBlock(deflateSync(whole.subarray(0, blockBytes + 1))),
  'a block of thirty megabytes': withBlock(deflateSync(Buffer.alloc(30_000_000))),
  'a block that takes more than zlib ever does': withBlock(Buffer.concat([block, Buffer.alloc(40_000)])),
};

const brokenIso = { name: 'ServiceError', code: 'BROKEN_ISO' };

for (const [name, stored] of Object.entries(mistakes)) {
  t.test(`${name} is an error when that block is read, and the others are served`, async (t) => {
    const reader = openZisofs(stored, { blockBytes, size: whole.length });
    await t.rejects(reader.read(0, 1), brokenIso);
    t.ok((await readRange(reader, 2 * blockBytes, whole.length)).equals(whole.subarray(2 * blockBytes)));
    await t.rejects(reader.read(blockBytes - 1, 1), brokenIso, 'again');
  });
}

t.test('a last block that holds more than the file says is cut, as in Linux', async (t) => {
  const reader = openZisofs(joinBlocks(blocks), { blockBytes, size: whole.length - 50 });
  t.equal((await reader.read(2 * blockBytes, blockBytes)).toString(), 'third'.repeat(10));
});

t.test('a table that does not fit into what is stored is an error wherever one reads', async (t) => {
  const stored = compress(whole, blockBytes).subarray(0, 200);
  const reader = openZisofs(stored, { blockBytes, size: 2 ** 32 - 1 });
  for (const place of [0, 5_000_000, 2 ** 32 - 2]) await t.rejects(reader.read(place, 1), brokenIso);
  await t.rejects(openZisofs(Buffer.alloc(0), { blockBytes, size: 1 }).read(0, 1), brokenIso, 'nothing is stored');
});

t.test('a file that does not begin as a compressed one is an error, although it could be read as zeros', async (t) => {
  for (const start of [Buffer.alloc(8), Buffer.from('37e45396c9dbd608', 'hex')]) {
    const stored = joinBlocks([Buffer.alloc(0)], { start });
    await t.rejects(openZisofs(stored, { blockBytes, size: 100 }).read(0, 1), brokenIso);
  }
});

t.test('what goes wrong with the .iso itself is told as it is', async (t) => {
  const truncated = new ServiceError('TRUNCATED', 'cut off');
  const reader = openZisofs(joinBlocks(blocks), { blockBytes, size: whole.length }, () => Promise.reject(truncated));
  await t.rejects(reader.read(0, 1), truncated);
});

t.test('four gigabytes of zeros cost no more than the block that is read', async (t) => {
  const size = 2 ** 32 - 1;
  const stored = joinBlocks(Array.from({ length: Math.ceil(size / blockBytes) }, () => Buffer.alloc(0)));
  const { read, asked } = listening(stored);
  const reader = openZisofs(stored, { blockBytes, size }, read);
  for (const place of [0, 2 ** 31, 2 ** 32 - 11]) {
    const found = await reader.read(place, 2 ** 20);
    t.ok(found.equals(Buffer.alloc(Math.min(blockBytes, size - place))), `from byte ${place}`);
  }
  t.same(asked.map(({ length }) => length), [8, 4096, 4096, 8]); // prettier-ignore
});

t.test('whatever bytes are broken, a read gives bytes or says that the ISO is broken', async (t) => {
  const random = new Random(5);
  const stored = compress(whole, blockBytes);
  const outcomes = new Map<string, number>();
  for (let round = 0; round < 2000; round++) {
    const image = Buffer.from(stored);
    for (let changes = 1 + random.below(3); changes > 0; changes--) {
      image[random.below(random.pick([32, image.length]))] = random.below(256);
    }
    const reader = openZisofs(image, { blockBytes, size: whole.length });
    const place = random.below(whole.length);
    const outcome = await reader.read(place, 1000).then(
      (found) => {
        if (found.equals(whole.subarray(place, place + found.length))) return 'right';
        return found.every((byte) => byte === 0) ? 'zeros' : 'wrong';
      },
      (error: unknown) => (error instanceof ServiceError ? error.code : String(error)),
    );
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  t.comment(JSON.stringify([...outcomes]));
  t.ok((outcomes.get('right') ?? 0) > 100 && (outcomes.get('BROKEN_ISO') ?? 0) > 100, 'both');
  // A table may be broken in such a way that two pointers are equal, which stands for zeros.
  const others = [...outcomes.keys()].filter((outcome) => !['right', 'zeros', 'BROKEN_ISO'].includes(outcome));
  t.same(others, [], 'and nothing else');
});
