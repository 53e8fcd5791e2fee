import t from 'tap';
import { Budget } from '../../../lib/iso/budget.js';
import type { Extent } from '../../../lib/iso/entries.js';
import { readSparingMap, readSparingTable, SparablePartition } from '../../../lib/iso/udf/sparing.js';
import { readerOf } from '../../fixtures/iso-volume.js';
import { partitionMaps, type SparingOptions, sparingTable, UdfBuilder } from '../../fixtures/udf-builder.js';
import { Random } from '../../fixtures/random.js';

const bs = 512;

t.test('a sparable partition map tells of its packets and tables', (t) => {
  t.same(readSparingMap(partitionMaps.sparable(32, 1000, [7, 9])), { packet: 32, tableBytes: 1000, tables: [7, 9] });
  t.same(readSparingMap(partitionMaps.sparable(1, 0, []))?.tables, []);
  t.equal(readSparingMap(partitionMaps.sparable(0, 1000, [7])), undefined, 'packets of nothing');
  t.equal(readSparingMap(partitionMaps.sparable(12, 1000, [7])), undefined, 'no power of two');
  t.equal(
    readSparingMap(partitionMaps.sparable(32, 1000, [1, 2, 3, 4, 5])),
    undefined,
    'more tables than it has room for',
  );
  t.end();
});

interface Table {
  readonly sector: number;
  readonly entries: readonly (readonly [packet: number, sector: number])[];
  readonly options?: SparingOptions;
  readonly location?: number;
}

/** The first block, in a partition that begins at sector 1000, and the sector of every run that is spared. */
async function readTables(tables: readonly Table[], tableBytes = 1000, packet = 4): Promise<number[][]> {
  const builder = new UdfBuilder(bs).put(40, 'end');
  for (const { sector, entries, options, location = sector } of tables) {
    builder.put(sector, sparingTable(location, entries, options));
  }
  const image = builder.build();
  const disc = { read: readerOf(image), bytes: image.length, blockSize: bs };
  const map = { packet, tableBytes, tables: tables.map(({ sector }) => sector) };
  const runs = await readSparingTable(disc, map, 1000, new Budget());
  return runs.map(({ block, sector, blocks }) => (blocks === packet ? [block, sector] : [block, sector, blocks]));
}

t.test('a sparing table tells which packets lie elsewhere, in order', async (t) => {
  const entries = [
    [16, 100],
    [4, 200],
    [0xfffffff0, 300],
    [0xffffffff, 400],
  ] as const;
  t.same(await readTables([{ sector: 5, entries }]), [
    [4, 200],
    [16, 100],
  ]);
  t.same(await readTables([{ sector: 5, entries: [[3, 1]] }]), [], 'where no packet begins nothing is spared');
});

t.test('of the tables the first that is right counts', async (t) => {
  const good = { sector: 9, entries: [[4, 200]] } as const;
  const wrong = { sector: 5, entries: [[8, 1]] } as const;
  for (const options of [{ checksum: 1 }, { name: '*UDF Something' }, { version: 9 }]) {
    t.same(await readTables([{ ...wrong, options }, good]), [[4, 200]]);
  }
  t.same(await readTables([{ ...wrong, location: 6 }, good]), [[4, 200]]);
  t.same(await readTables([{ sector: 0xffffff, entries: [] }, good].slice(1)), [[4, 200]]);
});

t.test('without any table nothing is spared', async (t) => {
  t.same(await readTables([]), []);
  t.same(await readTables([{ sector: 5, entries: [[4, 9]] }], 0), []);
});

t.test('a table that claims more entries than it has is read as far as it goes', async (t) => {
  t.same(await readTables([{ sector: 5, entries: [[4, 9]], options: { count: 0xffff } }], 64), [[4, 9]]);
  t.same(await readTables([{ sector: 40, entries: [[4, 9]], options: { count: 1 } }], 0xffffffff), [[4, 9]]);
});

t.test('a table outside of the .iso is none', async (t) => {
  const disc = { read: readerOf(Buffer.alloc(bs)), bytes: bs, blockSize: bs };
  const map = { packet: 4, tableBytes: 1000, tables: [1, 0xffffffff] };
  t.same(await readSparingTable(disc, map, 1000, new Budget()), []);
});

t.test('packets that stay together are one, however many a hostile table names', async (t) => {
  const entries = [
    [4, 200],
    [12, 300],
    [8, 204],
    [16, 304],
    [20, 500],
  ] as const;
  t.same(await readTables([{ sector: 5, entries }]), [
    [4, 200, 8],
    [12, 300, 8],
    [20, 500],
  ]);
  const many = Array.from({ length: 65_000 }, (_, index) => [index, 5000 + index] as const);
  t.same(await readTables([{ sector: 41, entries: many, options: { crcLength: 0 } }], 2 ** 20, 1), [[0, 5000, 65_000]]);
  const inPlace = many.filter((_, index) => index % 2 === 0).map(([packet]) => [packet, 1000 + packet] as const);
  t.same(await readTables([{ sector: 41, entries: inPlace, options: { crcLength: 0 } }], 2 ** 20, 1), []);
});

const partition = new SparablePartition(100, 1000, bs, [
  { block: 8, blocks: 8, sector: 5000 },
  { block: 20, blocks: 4, sector: 7000 },
]);

function blocksOf(extents: readonly Extent[]): string {
  return extents.map(({ offset, length }) => `${offset / bs}+${length / bs}`).join(' ');
}

t.test('what is not spared is where the partition is', (t) => {
  t.equal(blocksOf(partition.locate(0, 8 * bs)), '100+8');
  t.equal(blocksOf(partition.locate(24, 5 * bs)), '124+5');
  t.equal(blocksOf(partition.locate(999, bs)), '1099+1');
  t.end();
});

t.test('what is spared is elsewhere, and splits what is around it', (t) => {
  t.equal(blocksOf(partition.locate(8, 4 * bs)), '5000+4');
  t.equal(blocksOf(partition.locate(10, bs)), '5002+1');
  t.equal(blocksOf(partition.locate(8, 8 * bs)), '5000+8', 'as one');
  t.equal(blocksOf(partition.locate(6, 20 * bs)), '106+2 5000+8 116+4 7000+4 124+2');
  t.equal(blocksOf(partition.locate(11, 1.5 * bs)), '5003+1.5', 'half a block');
  t.end();
});

t.test('every block of a run is where it would be alone', (t) => {
  const random = new Random(1);
  for (let round = 0; round < 200; round++) {
    const [block, count] = [random.below(40), 1 + random.below(20)];
    const run = partition.locate(block, count * bs);
    const bytes = run.flatMap(({ offset, length }) =>
      Array.from({ length: length / bs }, (_, index) => offset + index * bs),
    );
    const alone = Array.from({ length: count }, (_, index) => partition.locate(block + index, bs)[0]?.offset);
    t.same(bytes, alone, `${block}+${count}`);
  }
  t.end();
});
