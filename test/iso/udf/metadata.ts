import t from 'tap';
import { Budget } from '../../../lib/iso/budget.js';
import { hole } from '../../../lib/iso/entries.js';
import { MetadataPartition, openMetadata } from '../../../lib/iso/udf/metadata.js';
import { fileEntry, type IcbOptions, shortDescriptor } from '../../fixtures/udf-builder.js';
import { spaceOf } from '../../fixtures/udf-volume.js';

const bs = 512;

function extent(block: number, blocks: number) {
  return { offset: block * bs, length: blocks * bs };
}

t.test('the blocks of a metadata partition are those of its file', (t) => {
  const partition = new MetadataPartition([extent(10, 2), extent(50, 3), extent(20, 1)], bs);
  t.equal(partition.blocks, 6);
  t.same(partition.locate(0, bs), [extent(10, 1)]);
  t.same(partition.locate(1, 2 * bs), [extent(11, 1), extent(50, 1)]);
  t.same(partition.locate(0, 6 * bs), [extent(10, 2), extent(50, 3), extent(20, 1)]);
  t.same(partition.locate(3, 100), [{ offset: 51 * bs, length: 100 }]);
  t.same(partition.locate(5, bs), [extent(20, 1)]);
  t.end();
});

t.test('what leaves the metadata file is nowhere', (t) => {
  const partition = new MetadataPartition([extent(10, 2), { offset: 99 * bs, length: 100 }], bs);
  t.equal(partition.blocks, 2, 'half a block is none');
  t.same(partition.locate(2, bs), []);
  t.same(partition.locate(1, 2 * bs), []);
  t.same(partition.locate(0xffffffff, bs), []);
  t.same(new MetadataPartition([], bs).locate(0, bs), []);
  t.end();
});

t.test('a hole in the metadata file is one in the partition', (t) => {
  const partition = new MetadataPartition([extent(10, 1), { offset: hole, length: 2 * bs }], bs);
  t.same(partition.locate(0, 3 * bs), [extent(10, 1), { offset: hole, length: 2 * bs }]);
  t.same(partition.locate(2, bs), [{ offset: hole, length: bs }]);
  t.end();
});

/** Opens the metadata of an image with these file entries as metadata file and mirror. */
async function open(main: IcbOptions | undefined, mirror: IcbOptions | undefined): Promise<number | undefined> {
  const image = Buffer.alloc(20 * bs);
  if (main !== undefined) fileEntry(2, main).copy(image, 2 * bs);
  if (mirror !== undefined) fileEntry(3, mirror).copy(image, 3 * bs);
  const partition = await openMetadata(spaceOf(image, bs), 0, [2, 3], new Budget());
  return partition?.locate(0, bs)[0]?.offset;
}

function file(type: number, block: number): IcbOptions {
  return { type, isExtended: true, form: 'short', size: bs, area: shortDescriptor(bs, block) };
}

t.test('the mirror counts where the metadata file is broken', async (t) => {
  t.equal(await open(file(250, 10), file(251, 11)), 10 * bs);
  for (const main of [
    undefined,
    { ...file(250, 10), crc: 1 },
    file(5, 10),
    file(250, 20),
    { ...file(250, 10), size: 1000 },
  ]) {
    t.equal(await open(main, file(251, 11)), 11 * bs);
  }
  t.equal(await open(undefined, undefined), undefined);
  t.equal(await open(undefined, file(251, 99)), undefined);
});
