import t from 'tap';
import { isInside, locateBlock, type Partition, readBlock, type Space } from '../../../lib/iso/udf/space.js';
import { readerOf } from '../../fixtures/iso-volume.js';

const image = Buffer.concat([0, 1, 2, 3].map((byte) => Buffer.alloc(512, byte)));

function spaceWith(partition: Partition): Space {
  return { read: readerOf(image), bytes: image.length, blockSize: 512, partitions: [partition] };
}

const shifted = spaceWith({ blocks: 5, locate: (block, length) => [{ offset: (block + 1) * 512, length }] });

t.test('a block is where its partition has it', async (t) => {
  t.equal(locateBlock(shifted, { partition: 0, block: 2 }), 1536);
  t.equal((await readBlock(shifted, { partition: 0, block: 2 }))?.[0], 3);
});

t.test('a block outside of its partition, or in none, is nowhere', async (t) => {
  for (const address of [
    { partition: 0, block: 5 },
    { partition: 0, block: 0xffffffff },
    { partition: 1, block: 0 },
    { partition: 0xffff, block: 0 },
  ]) {
    t.equal(locateBlock(shifted, address), undefined);
    t.equal(await readBlock(shifted, address), undefined);
  }
});

t.test('a block outside of the .iso has a place and no bytes', async (t) => {
  t.equal(locateBlock(shifted, { partition: 0, block: 3 }), 2048);
  t.equal(await readBlock(shifted, { partition: 0, block: 3 }), undefined);
});

t.test('a block that is a hole, missing, or in two pieces cannot be read', async (t) => {
  const pieces = [
    { offset: 0, length: 256 },
    { offset: 1024, length: 256 },
  ];
  for (const located of [[], [{ offset: -1, length: 512 }], pieces]) {
    t.equal(await readBlock(spaceWith({ blocks: 5, locate: () => located }), { partition: 0, block: 0 }), undefined);
  }
});

t.test('an extent is inside when its last byte is', (t) => {
  t.ok(isInside(shifted, { offset: 2047, length: 1 }));
  t.notOk(isInside(shifted, { offset: 2047, length: 2 }));
  t.end();
});
