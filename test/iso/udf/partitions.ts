import t from 'tap';
import { Budget } from '../../../lib/iso/budget.js';
import { openPartitions } from '../../../lib/iso/udf/partitions.js';
import { locateBlock, type Space } from '../../../lib/iso/udf/space.js';
import { readerOf } from '../../fixtures/iso-volume.js';
import {
  fileEntry,
  logicalVolume,
  type LogicalOptions,
  partitionMaps,
  shortDescriptor,
  sparingTable,
  UdfBuilder,
} from '../../fixtures/udf-builder.js';

const descriptors = new Map([
  [0, { start: 100, blocks: 50 }],
  [7, { start: 200, blocks: 60 }],
]);

function open(
  maps: readonly Buffer[],
  options: LogicalOptions = {},
  fill?: (builder: UdfBuilder) => void,
): Promise<Space> {
  const builder = new UdfBuilder().put(300, 'end');
  fill?.(builder);
  const image = builder.build();
  const sector = Buffer.alloc(2048);
  logicalVolume({ maps, ...options })(0).copy(sector);
  const disc = { read: readerOf(image), bytes: image.length, blockSize: 2048 };
  return openPartitions(disc, sector, descriptors, new Budget());
}

t.test('a partition map of type 1 is a run of sectors', async (t) => {
  const space = await open([partitionMaps.plain(0), partitionMaps.plain(7)]);
  t.equal(locateBlock(space, { partition: 0, block: 3 }), 103 * 2048);
  t.equal(locateBlock(space, { partition: 1, block: 3 }), 203 * 2048);
  t.equal(locateBlock(space, { partition: 0, block: 50 }), undefined, 'it has so many blocks');
  t.equal(locateBlock(space, { partition: 2, block: 0 }), undefined, 'there is no third');
});

t.test('a sparable partition has its packets where the sparing table says', async (t) => {
  const space = await open([partitionMaps.sparable(4, 2048, [290])], {}, (builder) =>
    builder.put(290, sparingTable(290, [[8, 280]])),
  );
  t.equal(locateBlock(space, { partition: 0, block: 7 }), 107 * 2048);
  t.equal(locateBlock(space, { partition: 0, block: 9 }), 281 * 2048);
});

t.test('a metadata partition has its blocks in the metadata file', async (t) => {
  const file = { type: 250, form: 'short', size: 2048, area: shortDescriptor(2048, 30) } as const;
  const fill = (builder: UdfBuilder) => builder.put(205, fileEntry(5, file));
  const maps = [partitionMaps.plain(0), partitionMaps.plain(7), partitionMaps.metadata(5, 6, 7)];
  t.equal(locateBlock(await open(maps, {}, fill), { partition: 2, block: 0 }), 230 * 2048);
});

t.test('a virtual partition is refused by its name', async (t) => {
  const maps = [partitionMaps.plain(), partitionMaps.virtual()];
  await t.rejects(open(maps), { code: 'UNSUPPORTED_ISO', message: /virtual partition \(VAT\)/ });
});

t.test('a partition of an unknown kind is refused', async (t) => {
  await t.rejects(open([partitionMaps.special('*Somebody', 0)]), { code: 'UNSUPPORTED_ISO' });
  await t.rejects(open([Buffer.from([3, 6, 0, 0, 0, 0])]), { code: 'BROKEN_ISO' });
});

t.test('partition maps that contradict themselves are broken', async (t) => {
  const broken: [name: string, maps: Buffer[], options?: LogicalOptions][] = [
    ['no descriptor', [partitionMaps.plain(1)]],
    ['no descriptor below', [partitionMaps.sparable(4, 0, [], 1)]],
    ['packets of no size', [partitionMaps.sparable(0, 0, [])]],
    ['metadata before its partition', [partitionMaps.metadata(1, 2), partitionMaps.plain()]],
    ['no metadata file', [partitionMaps.plain(), partitionMaps.metadata(1, 2)]],
    ['more maps than bytes', [partitionMaps.plain()], { mapCount: 2 }],
    ['more maps than the sector has', [partitionMaps.plain()], { mapCount: 4, mapBytes: 0xffffffff }],
    ['a map of no length', [Buffer.alloc(6)]],
    ['a map that leaves the table', [partitionMaps.plain()], { mapBytes: 5 }],
    ['a map that leaves the sector', [Buffer.from([1, 255, 0, 0])], { mapBytes: 4000 }],
    ['a type 1 map of another length', [Buffer.concat([Buffer.from([1, 8]), Buffer.alloc(6)])]],
    ['a type 2 map of another length', [Buffer.concat([Buffer.from([2, 8]), Buffer.alloc(6)])]],
  ];
  for (const [name, maps, options] of broken) await t.rejects(open(maps, options), { code: 'BROKEN_ISO' }, name);
});

t.test('up to four partition maps are read', async (t) => {
  const maps = (count: number) => Array.from({ length: count }, () => partitionMaps.plain());
  t.equal((await open(maps(4))).partitions.length, 4);
  await t.rejects(open(maps(5)), { code: 'UNSUPPORTED_ISO', message: /5 partition maps.* 4 / });
  await t.rejects(open(maps(1), { mapCount: 1_000_000, mapBytes: 0xffffffff }), { code: 'UNSUPPORTED_ISO' });
});

t.test('many sparing tables are too much work', async (t) => {
  const image = new UdfBuilder().put(300, 'end').build();
  const sector = Buffer.alloc(2048);
  logicalVolume({ maps: Array.from({ length: 4 }, () => partitionMaps.sparable(4, 0xffffffff, [1, 2, 3, 4])) })(0).copy(
    sector,
  );
  const disc = { read: readerOf(image), bytes: image.length, blockSize: 2048 };
  await t.rejects(openPartitions(disc, sector, descriptors, new Budget(200)), { code: 'BROKEN_ISO' });
});

t.test('no partitions at all are none to read from', async (t) => {
  t.same((await open([])).partitions, []);
});
