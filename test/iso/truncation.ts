import t from 'tap';
import { Budget } from '../../lib/iso/budget.js';
import { sectorBytes } from '../../lib/iso/entries.js';
import { type ClaimingFolder, refuseTruncated } from '../../lib/iso/truncation.js';
import { openIso } from '../../lib/iso/volume.js';
import { folderRecord, type IsoBuilder, record } from '../fixtures/iso-builder.js';
import { openImage, plain, readerOf, ROOT } from '../fixtures/iso-volume.js';

/** An image that claims so many sectors; it has 100. */
function claiming(sectors: number, records: readonly Buffer[], fill?: (builder: IsoBuilder) => void): Buffer {
  const image = plain(records, fill);
  image.writeUInt32LE(sectors, 16 * sectorBytes + 80);
  return image;
}

t.test('an ISO that ends before its files do is refused, with both sizes', async (t) => {
  const image = claiming(150, [record('A;1', { block: 120, length: 5000 })]);
  const sizes = new RegExp(`${100 * sectorBytes} bytes.*${120 * sectorBytes + 5000} bytes`);
  await t.rejects(openImage(image), { code: 'TRUNCATED', message: sizes });
});

t.test('a file deep in the tree counts', async (t) => {
  const fill = (builder: IsoBuilder) => {
    builder.folder(40, [folderRecord('B', 41)]);
    builder.folder(41, [record('LAST;1', { block: 99, length: sectorBytes + 1 })]);
  };
  await t.rejects(openImage(claiming(150, [folderRecord('A', 40)], fill)), { code: 'TRUNCATED' });
});

t.test('a folder that is cut off counts', async (t) => {
  await t.rejects(openImage(claiming(150, [folderRecord('A', 120)])), { code: 'TRUNCATED' });
});

t.test('a root folder that is cut off counts', async (t) => {
  const image = claiming(150, []);
  image.writeUInt32LE(120, 16 * sectorBytes + 158);
  await t.rejects(openImage(image), { code: 'TRUNCATED' });
});

t.test('missing padding is no loss', async (t) => {
  t.ok(await openImage(claiming(250, [record('A;1', { block: 99, length: sectorBytes })])));
  t.ok(
    await openImage(claiming(250, [record('LINK', { block: 0xffffffff, length: 0 })])),
    'nor is an empty file anywhere',
  );
});

t.test('an ISO as long as its volume is not searched', async (t) => {
  t.ok(await openImage(claiming(100, [record('A;1', { block: 120, length: 5000 })])));
});

t.test('folders that lead to each other are read once', async (t) => {
  const fill = (builder: IsoBuilder) => {
    const others = Array.from({ length: 40 }, (_, index) => folderRecord(`D${index}`, 40 + index));
    for (let index = 0; index < 40; index++) builder.folder(40 + index, others);
  };
  const image = claiming(150, [folderRecord('D', 40), folderRecord('ROOT', ROOT)], fill);
  t.ok(await openImage(image));
});

t.test('a disk that fails while the tree is searched is an error', async (t) => {
  const image = claiming(150, [folderRecord('D', 40)]);
  const read = readerOf(image);
  const failing = openIso((offset, length) => {
    return offset === 40 * sectorBytes ? Promise.reject(new Error('EIO')) : read(offset, length);
  }, image.length);
  await t.rejects(failing, { message: 'EIO' });
});

t.test('a tree without end is searched for a while and then given the benefit of the doubt', async (t) => {
  // 60 folders of 60 MiB each, one beginning a sector behind the other: more to read than any tree of that size holds.
  const folders = Array.from({ length: 300 }, (_, index) =>
    folderRecord(`D${index}`, 200 + index, 30_000 * sectorBytes),
  );
  const builder = plain([], (builder) => {
    builder.put(40_000, 'end');
    const length = builder.folder(101, folders);
    builder.folder(ROOT, [folderRecord('ALL', 101, length)]);
  });
  builder.writeUInt32LE(50_000, 16 * sectorBytes + 80);
  t.ok(await openImage(builder));
});

/** A folder with so many others in it, and what is asked of those. */
function wide(count: number, claims: ClaimingFolder['claims']): ClaimingFolder {
  const folders = Array.from({ length: count }, (_, index) => ({ offset: index + 1, claims }));
  return { offset: 0, claims: () => Promise.resolve({ folders, end: 10 }) };
}

t.test('a folder may have any number of folders in it', async (t) => {
  let asked = 0;
  const root = wide(300_000, () => {
    asked++;
    return Promise.resolve({ folders: [], end: 20 });
  });
  await refuseTruncated(root, 100, 200);
  t.equal(asked, 300_000);
  await t.rejects(refuseTruncated(root, 15, 200), { code: 'TRUNCATED' });
});

t.test('the search ends with the first folder that is too much work, and counts what it has found', async (t) => {
  let asked = 0;
  const root = wide(1000, (budget) => {
    asked++;
    budget.spend(500);
    return Promise.resolve({ folders: [], end: 20 });
  });
  await refuseTruncated(root, 100, 200, new Budget(1000));
  t.equal(asked, 9);
  await t.rejects(refuseTruncated(root, 15, 200, new Budget(1000)), { code: 'TRUNCATED' });
});
