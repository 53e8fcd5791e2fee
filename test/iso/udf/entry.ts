import t from 'tap';
import { Budget } from '../../../lib/iso/budget.js';
import { hole } from '../../../lib/iso/entries.js';
import { describe, type Described, readData } from '../../../lib/iso/udf/entry.js';
import { fileEntry, type IcbOptions, linkData, recordedDate, shortDescriptor } from '../../fixtures/udf-builder.js';
import { spaceOf } from '../../fixtures/udf-volume.js';

const bs = 512;

/** What the file entry in block 2 of an image stands for. */
async function describeFile(options: IcbOptions, contents: Readonly<Record<number, Buffer>> = {}): Promise<Described> {
  const image = Buffer.alloc(20 * bs);
  for (const [block, bytes] of Object.entries(contents)) bytes.copy(image, Number(block) * bs);
  fileEntry(2, options).copy(image, 2 * bs);
  const address = { partition: 0, block: 2 };
  return describe(spaceOf(image, bs), image.subarray(2 * bs, 3 * bs), 2 * bs, address, new Budget());
}

t.test('the file type tells files, folders and links', async (t) => {
  const modified = recordedDate.getTime();
  const file = { type: 'file', size: 5, extents: [{ offset: 2 * bs + 176, length: 5 }], modified };
  for (const type of [0, 5, 249]) t.match(await describeFile({ type, area: Buffer.from('hello') }), { entry: file });
  t.match(await describeFile({ type: 4, area: Buffer.alloc(40) }), {
    entry: { type: 'folder', offset: 2 * bs, size: 40, modified },
  });
  t.match(await describeFile({ type: 12, area: linkData('../a') }), {
    entry: { type: 'link', target: '../a', modified },
  });
});

t.test('devices, pipes, sockets and what UDF keeps for itself are not shown', async (t) => {
  for (const type of [1, 2, 3, 6, 7, 8, 9, 10, 11, 13, 248, 250, 251, 252, 255]) {
    t.equal((await describeFile({ type })).entry, undefined, `type ${type}`);
  }
});

t.test('ICB strategies other than 4, and deleted files, are not shown', async (t) => {
  for (const strategy of [0, 1, 3, 4096]) t.equal((await describeFile({ strategy })).entry, undefined, `${strategy}`);
  t.equal((await describeFile({ links: 0 })).entry, undefined);
});

t.test('the data of a link may lie elsewhere', async (t) => {
  const data = linkData('a/b');
  const far = { type: 12, form: 'short', size: data.length, area: shortDescriptor(data.length, 9) } as const;
  t.match(await describeFile(far, { 9: data }), { entry: { target: 'a/b' }, end: 9 * bs + data.length });
  t.equal((await describeFile({ ...far, area: shortDescriptor(data.length, 20) })).entry, undefined, 'outside');
  t.equal((await describeFile({ ...far, size: 4097 })).entry, undefined, 'or be too long');
  const hole = { ...far, area: shortDescriptor(data.length, 0, 2) };
  t.equal((await describeFile(hole)).entry, undefined, 'or not be recorded');
});

t.test('a broken link is not shown', async (t) => {
  t.equal((await describeFile({ type: 12, area: Buffer.from([5, 200, 0, 0]) })).entry, undefined);
  t.equal((await describeFile({ type: 12 })).entry, undefined);
});

t.test('what no descriptor is for reads as zeros', async (t) => {
  const file = { form: 'short', size: 2000, area: shortDescriptor(bs, 9) } as const;
  const zeros = { offset: hole, length: 2000 - bs };
  t.match(await describeFile(file), { entry: { size: 2000, extents: [{ offset: 9 * bs, length: bs }, zeros] } });
  const empty = { form: 'short', size: 2000 } as const;
  t.match(await describeFile(empty), { entry: { extents: [{ offset: hole, length: 2000 }] } });
});

t.test('a folder of more than 64 MiB is not shown', async (t) => {
  const size = 64 * 2 ** 20;
  const folder = { type: 4, form: 'short', size, area: shortDescriptor(size, 0, 2) } as const;
  t.match(await describeFile(folder), { entry: { type: 'folder' } });
  t.equal((await describeFile({ ...folder, size: size + 1, area: shortDescriptor(size + 1, 0, 2) })).entry, undefined);
});

t.test('what leaves the .iso is not shown, and tells how far it goes', async (t) => {
  const file = { form: 'short', size: 100, area: shortDescriptor(100, 50) } as const;
  t.same(await describeFile(file), { entry: undefined, end: 50 * bs + 100 });
});

t.test('data is put together from extents and holes', async (t) => {
  const image = Buffer.from('0123456789'.repeat(100));
  const space = spaceOf(image, bs);
  const extents = [
    { offset: 3, length: 2 },
    { offset: -1, length: 3 },
    { offset: 17, length: 1 },
  ];
  t.same(await readData(space, extents, 0, 6, new Budget()), Buffer.from('34\0\0\0' + '7'));
  t.same(await readData(space, [{ offset: 5, length: 3 }], 0, 3, new Budget()), Buffer.from('567'));
  t.same(await readData(space, [{ offset: -1, length: 3 }], 0, 3, new Budget()), Buffer.alloc(3));
  t.same(await readData(space, [], 0, 0, new Budget()), Buffer.alloc(0));
  t.same(await readData(space, extents, 1, 4, new Budget()), Buffer.from('4\0\0\0'), 'or some of it');
  t.same(await readData(space, extents, 4, 2, new Budget()), Buffer.from('\0' + '7'));
  await t.rejects(readData(space, extents, 0, 6, new Budget(1)), { code: 'BROKEN_ISO' });
});
