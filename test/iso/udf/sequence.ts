import t from 'tap';
import { findAnchors, readSequence } from '../../../lib/iso/udf/sequence.js';
import { readerOf } from '../../fixtures/iso-volume.js';
import {
  logicalVolume,
  partition,
  type Placeable,
  primaryVolume,
  terminator,
  UdfBuilder,
  volumePointer,
} from '../../fixtures/udf-builder.js';

async function anchorsOf(image: Buffer): Promise<string[]> {
  const found: string[] = [];
  for await (const { blockSize, sequences } of findAnchors(readerOf(image), image.length)) {
    found.push(`${blockSize}: ${sequences.map(({ offset, length }) => `${offset}+${length}`).join(' ')}`);
  }
  return found;
}

t.test('an anchor is found with every size that a sector may have', async (t) => {
  for (const size of [512, 1024, 2048, 4096]) {
    const image = new UdfBuilder(size)
      .anchor(256, [32, 16 * size], [64, 8 * size])
      .put(300, 'end')
      .build();
    t.same(await anchorsOf(image), [`${size}: ${32 * size}+${16 * size} ${64 * size}+${8 * size}`]);
  }
});

t.test('an anchor may be at sector 256 or 512, in the last one, or 256 before that', async (t) => {
  for (const [sector, last] of [
    [256, 999],
    [512, 999],
    [999, 999],
    [743, 999],
    [20, 20],
  ] as const) {
    const image = new UdfBuilder().put(last, ' ').anchor(sector, [32, 2048]).build();
    t.equal((await anchorsOf(image)).length, 1, `${sector} of ${last}`);
  }
  t.equal((await anchorsOf(new UdfBuilder().anchor(257, [32, 2048]).put(999, ' ').build())).length, 0);
});

t.test('an anchor that says it is elsewhere is none', async (t) => {
  const image = new UdfBuilder().anchor(256, [32, 2048]).put(300, 'end').build();
  image.copy(image, 300 * 2048, 256 * 2048, 257 * 2048);
  image.fill(0, 256 * 2048, 257 * 2048);
  t.same(await anchorsOf(image), []);
});

t.test('an image of no or few bytes has no anchor', async (t) => {
  for (const length of [0, 1, 511, 512, 4096]) t.same(await anchorsOf(Buffer.alloc(length)), []);
});

const start = 20;

function read(descriptors: readonly Placeable[], fill: (builder: UdfBuilder) => void = () => undefined, sectors = 50) {
  const builder = new UdfBuilder().sequence(start, descriptors).put(400, 'end');
  fill(builder);
  const image = builder.build();
  return readSequence(readerOf(image), image.length, 2048, { offset: start * 2048, length: sectors * 2048 });
}

const usual = [primaryVolume(), logicalVolume(), partition(300, 50), terminator()];

t.test('a sequence tells of the volume and its partitions', async (t) => {
  const sequence = await read(usual);
  t.ok(sequence.primary);
  t.ok(sequence.logical);
  t.same([...sequence.partitions], [[0, { start: 300, blocks: 50 }]]);
  t.match(sequence.digest, /^[0-9a-f]{64}$/);
});

t.test('other descriptors, another digest', async (t) => {
  const { digest } = await read(usual);
  t.equal((await read(usual)).digest, digest);
  t.not((await read([...usual.slice(0, 2), partition(300, 51), terminator()])).digest, digest);
});

t.test('the descriptor with the highest sequence number prevails, wherever it is', async (t) => {
  const logicals = [5, 9, 7].map((sequence) => logicalVolume({ sequence }));
  t.equal((await read(logicals)).logical?.readUInt32LE(16), 9);
  const parts = [partition(1, 1, 0, 8), partition(2, 2, 0, 9), partition(3, 3, 0, 7), partition(4, 4, 1, 1)];
  t.same(
    [...(await read(parts)).partitions.values()],
    [
      { start: 2, blocks: 2 },
      { start: 4, blocks: 4 },
    ],
  );
});

t.test('broken and unknown descriptors are left out', async (t) => {
  const broken: Placeable = (location) => logicalVolume()(location + 1);
  const unknown: Placeable = () => Buffer.alloc(512, 0xff);
  const sequence = await read([unknown, broken, ...usual]);
  t.equal(sequence.logical?.readUInt32LE(12), start + 3);
});

t.test('nothing is read behind the terminator or the end of the sequence', async (t) => {
  t.equal((await read([primaryVolume(), terminator(), logicalVolume()])).logical, undefined);
  t.equal((await read(usual, undefined, 1)).logical, undefined);
});

t.test('a sequence goes on elsewhere', async (t) => {
  const sequence = await read([primaryVolume(), volumePointer(100, 8 * 2048), logicalVolume()], (builder) =>
    builder.sequence(100, [partition(1, 1), volumePointer(200, 2048)]).sequence(200, [logicalVolume()]),
  );
  t.equal(sequence.logical?.readUInt32LE(12), 200);
  t.equal(sequence.partitions.size, 1);
});

t.test('pointers that lead in a circle come to an end', async (t) => {
  const self = await read([primaryVolume(), volumePointer(start, 50 * 2048)]);
  t.ok(self.primary);
  const image = new UdfBuilder().sequence(start, [volumePointer(start, 2048)]).build();
  const bytes = readerOf(image);
  let reads = 0;
  const counted = (offset: number, length: number) => {
    reads++;
    return bytes(offset, length);
  };
  await readSequence(counted, image.length, 2048, { offset: start * 2048, length: 2048 });
  t.equal(reads, 65, 'after 64 pointers');
});

t.test('a sequence that leaves the .iso is read as far as it is there', async (t) => {
  const place = { offset: 20 * 2048, length: 0xffffffff };
  const image = new UdfBuilder().sequence(20, usual).build();
  t.ok((await readSequence(readerOf(image), image.length, 2048, place)).logical);
  const far = { offset: 0xffffffff * 2048, length: 2048 };
  t.equal((await readSequence(readerOf(image), image.length, 2048, far)).logical, undefined);
  const empty = { offset: 20 * 2048, length: 2047 };
  t.equal((await readSequence(readerOf(image), image.length, 2048, empty)).primary, undefined);
});

t.test('of an endless sequence 256 sectors are read', async (t) => {
  const at = (sector: number) => read([], (builder) => builder.sequence(sector, [logicalVolume()]), 1_000_000);
  t.ok((await at(start + 255)).logical);
  t.notOk((await at(start + 256)).logical);
});
