import t, { type Test } from 'tap';
import { ServiceError } from '../../../lib/errors.js';
import { hole, type IsoEntry } from '../../../lib/iso/entries.js';
import { lookup } from '../../../lib/iso/lookup.js';
import { Random } from '../../fixtures/random.js';
import { crawl } from '../../fixtures/iso-volume.js';
import {
  allocationExtent,
  component,
  fileEntry,
  fileSet,
  identifier,
  linkData,
  longDescriptor,
  partitionMaps,
  seal,
  shortDescriptor,
  sparingTable,
} from '../../fixtures/udf-builder.js';
import {
  anchorSector,
  mainSequence,
  openUdfImage,
  partitionStart,
  reserveSequence,
  rootBlock,
  UdfImage,
} from '../../fixtures/udf-volume.js';

/** Bytes that sit on the borders of what a field may hold. */
const borders = [0, 1, 2, 3, 4, 5, 8, 12, 16, 0x3f, 0x40, 0x7f, 0x80, 0xc0, 0xf9, 0xfa, 0xfe, 0xff] as const;

/** An image, and the sectors that hold its structures. */
interface Subject {
  readonly image: Buffer;
  readonly blockSize: number;
  /** Entries of the whole tree. */
  readonly entries: number;
  readonly sectors: readonly [number, ...number[]];
}

const volumeSectors = [
  anchorSector,
  ...[0, 1, 2, 3].flatMap((index) => [mainSequence + index, reserveSequence + index]),
];

/** The usual tree: files of every form, links, holes, continuations, folders inside and outside of their file entry. */
function fillTree(image: UdfImage): void {
  const { blockSize } = image;
  const short = { form: 'short', size: 3 * blockSize + 7 } as const;
  const area = Buffer.concat([
    shortDescriptor(blockSize, 40),
    shortDescriptor(blockSize, 0, 2),
    shortDescriptor(512, 5, 3),
  ]);
  const more = Buffer.concat([shortDescriptor(blockSize, 42), shortDescriptor(7, 44)]);
  const names = [identifier('inside', 2), identifier('short', 3), identifier('long', 4), identifier('folder ☃', 6)];
  const links = [identifier('link', 8), identifier('far link', 9), identifier('gone', 2, { characteristics: 4 })];
  image.folder(rootBlock, [identifier('', rootBlock, { characteristics: 10 }), ...names, ...links], 30);
  image.entry(2, { area: Buffer.from('hello'), isExtended: true, attributes: Buffer.alloc(24) });
  image.entry(3, { ...short, area }).block(5, allocationExtent(5, more));
  const long = Buffer.concat([longDescriptor(blockSize, 45), longDescriptor(100, 50)]);
  image.entry(4, { form: 'long', size: blockSize + 100, area: long });
  image.folder(6, [identifier('', rootBlock, { characteristics: 10 }), identifier('deep', 7), identifier('same', 2)]);
  image.folder(7, [identifier('bottom', 2), identifier('a/b', 3)]);
  const target = Buffer.concat([linkData('../folder/x'), component(5, 'ü')]);
  image.entry(8, { type: 12, area: linkData('./inside') }).block(55, target);
  image.entry(9, { type: 12, form: 'short', size: target.length, area: shortDescriptor(target.length, 55) });
}

const treeEntries = 10;

function plain(blockSize: number): Subject {
  const image = new UdfImage(blockSize).volume();
  fillTree(image);
  const blocks = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30, 55].map((block) => partitionStart + block);
  return {
    image: image.build(),
    blockSize,
    entries: treeEntries,
    sectors: [anchorSector, ...volumeSectors, ...blocks],
  };
}

function spared(): Subject {
  const blockSize = 512;
  const image = new UdfImage(blockSize).volume({ maps: [partitionMaps.sparable(4, 512, [240, 244])] });
  fillTree(image);
  image
    .put(
      240,
      sparingTable(240, [
        [4, 200],
        [44, 204],
      ]),
    )
    .put(244, sparingTable(244, []));
  const source = image.build();
  // What the table moves is moved.
  for (const [from, to] of [
    [4, 200],
    [44, 204],
  ] as const) {
    source.copy(source, to * blockSize, (partitionStart + from) * blockSize, (partitionStart + from + 4) * blockSize);
  }
  const blocks = [0, 1, 2, 3, 8, 9, 30].map((block) => partitionStart + block);
  return {
    image: source,
    blockSize,
    entries: treeEntries,
    sectors: [240, 244, 200, 201, 202, 203, ...volumeSectors, ...blocks],
  };
}

function metadata(): Subject {
  const blockSize = 1024;
  const maps = [partitionMaps.plain(), partitionMaps.metadata(60, 61)];
  const image = new UdfImage(blockSize).volume({ maps, partition: 1 });
  const area = Buffer.concat([shortDescriptor(4096, 70), shortDescriptor(4096, 80)]);
  const file = { isExtended: true, form: 'short', size: 8192, area, version: 3 } as const;
  image
    .entry(60, { ...file, type: 250 })
    .entry(61, { ...file, type: 251 })
    .block(70, fileSet(0, 1, 1));
  const inside = { partition: 1 };
  const names = [identifier('a', 2, inside), identifier('d', 5, inside), identifier('out', 62)];
  image.block(71, fileEntry(1, { type: 4, isExtended: true, area: Buffer.concat(names) }));
  image
    .block(72, fileEntry(2, { form: 'long', size: 50, area: longDescriptor(50, 63) }))
    .entry(62, { area: Buffer.alloc(9) });
  image.block(81, fileEntry(5, { type: 4, form: 'short', size: 44, area: shortDescriptor(44, 6) }));
  image.block(82, identifier('b', 2, inside)).block(63, 'data');
  const blocks = [60, 61, 62, 70, 71, 72, 81, 82].map((block) => partitionStart + block);
  return { image: image.build(), blockSize, entries: 4, sectors: [anchorSector, ...volumeSectors, ...blocks] };
}

/** Changes some bytes of some structures, mostly makes their checksums right again, and gives back what undoes it. */
function mutate({ image, blockSize, sectors }: Subject, random: Random): () => void {
  const before: [at: number, bytes: Buffer][] = [];
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const from = random.pick(sectors) * blockSize;
    const block = image.subarray(from, from + blockSize);
    before.push([from, Buffer.from(block)]);
    // The fields of most structures are in their first 450 bytes.
    const start = random.below(random.below(4) === 0 ? blockSize : 450);
    const run = random.below(4) === 0 ? 4 : 1;
    for (let at = start; at < Math.min(start + run, blockSize); at++) {
      block[at] = random.below(2) === 0 ? random.pick(borders) : random.below(256);
    }
    if (random.below(5) > 0 && block.readUInt16LE(10) <= blockSize - 16) seal(block);
  }
  return () => {
    for (const [from, bytes] of before.reverse()) bytes.copy(image, from);
  };
}

/** What is wrong with an entry; undefined when nothing is. */
function faultOf(path: string, entry: IsoEntry, bytes: number): string | undefined {
  if (path.split('/').some((name) => /^\.{0,2}$|[\u0000-\u001f\u007f]/.test(name))) return 'a bad name';
  if (/\p{Surrogate}/u.test(path)) return 'a name that no URL can carry';
  if (entry.type !== 'file') return undefined;
  const sum = entry.extents.reduce((total, { length }) => total + length, 0);
  if (sum !== entry.size) return 'a size that is not that of its extents';
  const isBad = entry.extents.some(
    ({ offset, length }) => length < 1 || (offset !== hole && (offset < 0 || offset + length > bytes)),
  );
  return isBad ? 'bytes outside of the ISO' : undefined;
}

/** Opens an image, looks at everything in it, and follows its links; gives the code of the error that ends that. */
async function explore(t: Test, image: Buffer): Promise<string> {
  try {
    const volume = await openUdfImage(image);
    for (const [path, entry] of await crawl(volume, 2000)) {
      const fault = faultOf(path, entry, image.length);
      if (fault !== undefined) t.fail(`${JSON.stringify(path)} has ${fault}`);
      if (entry.type === 'link') await lookup(volume.root, path.split('/'), 'any-case');
    }
    return 'opened';
  } catch (error) {
    if (error instanceof ServiceError) return error.code;
    throw error;
  }
}

/** Explores mutated images; gives how often each way of ending came. */
async function fuzz(t: Test, subject: Subject, rounds: number, seed: number): Promise<ReadonlyMap<string, number>> {
  t.equal(await explore(t, subject.image), 'opened', 'before anything is changed');
  t.equal((await crawl(await openUdfImage(subject.image))).size, subject.entries, 'and whole');
  const random = new Random(seed);
  const outcomes = new Map<string, number>();
  let slowest = 0;
  for (let round = 0; round < rounds; round++) {
    const restore = mutate(subject, random);
    const start = performance.now();
    const outcome = await explore(t, subject.image);
    slowest = Math.max(slowest, performance.now() - start);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    restore();
  }
  t.comment(`${JSON.stringify([...outcomes])}, slowest ${slowest.toFixed(0)} ms`);
  return outcomes;
}

const subjects: Readonly<Record<string, () => Subject>> = {
  'blocks of 2048 bytes': () => plain(2048),
  'blocks of 512 bytes': () => plain(512),
  'spared packets': spared,
  'a metadata partition': metadata,
};

for (const [index, [name, make]] of Object.entries(subjects).entries()) {
  t.test(`an image with ${name} and broken bytes anywhere is read or refused`, async (t) => {
    const outcomes = await fuzz(t, make(), 3000, 1 + index);
    t.ok((outcomes.get('opened') ?? 0) > 1000, 'most of them can still be read');
    t.ok(outcomes.size > 1, 'and some cannot');
  });
}

t.test('an image that is cut off anywhere is read or refused', async (t) => {
  const { image } = plain(512);
  for (let bytes = 0; bytes < image.length; bytes += 511) await explore(t, image.subarray(0, bytes));
  t.equal(await explore(t, image.subarray(0, (partitionStart + 40) * 512)), 'TRUNCATED');
});

t.test('noise in any structure is read or refused', async (t) => {
  const random = new Random(9);
  const { image, blockSize, sectors } = plain(512);
  for (let round = 0; round < 1000; round++) {
    const from = random.pick(sectors) * blockSize + 16;
    const block = image.subarray(from - 16, from - 16 + blockSize);
    const before = Buffer.from(block);
    for (let at = 16 + 4 * random.below(50); at < blockSize; at++) block[at] = random.below(256);
    if (block.readUInt16LE(10) <= blockSize - 16) seal(block);
    await explore(t, image);
    before.copy(block);
  }
  t.pass('every image came to an end');
});
