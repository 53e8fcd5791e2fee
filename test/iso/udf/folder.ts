import t from 'tap';
import { Budget } from '../../../lib/iso/budget.js';
import { hole } from '../../../lib/iso/entries.js';
import { openUdf } from '../../../lib/iso/udf/volume.js';
import { readerOf } from '../../fixtures/iso-volume.js';
import {
  allocationExtent,
  fileEntry,
  identifier,
  linkData,
  numbers,
  recordedDate,
  shortDescriptor,
} from '../../fixtures/udf-builder.js';
import {
  at,
  openUdfImage,
  partitionBlocks,
  partitionStart,
  rootBlock,
  udfBytes,
  udfFile,
  udfFiles,
  udfImage,
  type UdfImage,
  udfPaths,
} from '../../fixtures/udf-volume.js';

const hello = { area: Buffer.from('hello') };

t.test('a file has the bytes, size and time of its file entry', async (t) => {
  const file = { form: 'short', size: 3000, area: shortDescriptor(3000, 20) } as const;
  const image = udfFiles({ 'a.txt': file, inside: hello });
  t.match(await udfFile(image, 'a.txt'), { size: 3000, modified: recordedDate.getTime() });
  t.same((await udfFile(image, 'a.txt')).extents, [{ offset: at(20), length: 3000 }]);
  t.same(await udfBytes(image, 'inside'), Buffer.from('hello'));
});

t.test('folders are inside folders', async (t) => {
  const image = udfImage([identifier('a', 2), identifier('f', 9)], (image) => {
    image.entry(9, hello).folder(2, [identifier('', rootBlock, { characteristics: 8 }), identifier('b', 3)]);
    image.folder(3, [identifier('c', 9), identifier('link', 4)]).entry(4, { type: 12, area: linkData('../../f') });
  });
  t.same(await udfPaths(image), ['a/', 'a/b/', 'a/b/c', 'a/b/link -> ../../f', 'f']);
  const { root } = await openUdfImage(image);
  const a = (await root.children()).get('a');
  if (a?.type !== 'folder') throw new Error('no folder');
  const b = (await a.children()).get('b');
  t.match(b, { path: 'a/b', parent: a, modified: recordedDate.getTime() });
  t.match(root, { path: '', parent: undefined });
  t.equal(await a.children(), await a.children(), 'they are kept');
});

t.test('identifiers may cross blocks and extents', async (t) => {
  const names = Array.from({ length: 60 }, (_, index) => `file-${index}-${'x'.repeat(index)}`);
  const data = Buffer.concat(names.map((name) => identifier(name, 30)));
  const pieces = [data.subarray(0, 512), data.subarray(512, 1536), data.subarray(1536)];
  const places = [20, 10, 40] as const;
  const image = udfImage(
    [identifier('d', 2)],
    (image) => {
      const area = pieces.map((piece, index) => shortDescriptor(piece.length, places[index] ?? 0));
      image.entry(2, { type: 4, form: 'short', size: data.length, area: Buffer.concat(area) }).entry(30, hello);
      for (const [index, piece] of pieces.entries()) image.block(places[index] ?? 0, piece);
    },
    512,
  );
  t.same(await udfPaths(image), ['d/', ...names.map((name) => `d/${name}`)].sort());
});

t.test('deleted, parent and hidden entries are not shown, those of metadata are, as in Linux', async (t) => {
  const kinds = { plain: 0, hidden: 1, folder: 2, deleted: 4, parent: 8, metadata: 16 };
  const identifiers = Object.entries(kinds).map(([name, characteristics]) => identifier(name, 2, { characteristics }));
  t.same(await udfPaths(udfImage(identifiers, (image) => image.entry(2, hello))), ['folder', 'metadata', 'plain']);
});

t.test('names that no path can hold are not shown', async (t) => {
  const bad = [
    '',
    'a\nb',
    '\u001b[2J',
    '\u007f',
    Buffer.from([254, 65]),
    Buffer.from([255, 0, 65]),
    Buffer.from([7, 65]),
  ];
  const image = udfImage(
    [...bad, 'good'].map((name) => identifier(name, 2)),
    (image) => image.entry(2, hello),
  );
  t.same(await udfPaths(image), ['good']);
});

t.test('names that could lead out of a folder are altered', async (t) => {
  const bad = ['.', '..', '/', 'a/b', '../../etc', 'a\0b', '\ud800'];
  const image = udfImage(
    bad.map((name) => identifier(name, 2)),
    (image) => image.entry(2, hello),
  );
  const shown = await udfPaths(image);
  t.equal(shown.length, bad.length);
  for (const name of shown) {
    t.match(name, /#[0-9A-F]{4}/);
    t.doesNotThrow(() => encodeURIComponent(name));
  }
});

t.test('odd names are shown as they are', async (t) => {
  const names = ['a\\b', '%2e%2e', '-rf', ' a ', '...', 'é', 'e\u0301', 'A', 'a', 'x;1', '\u{1f600}', 'n'.repeat(254)];
  const image = udfImage(
    names.map((name) => identifier(name, 2)),
    (image) => image.entry(2, hello),
  );
  t.same(await udfPaths(image), names.sort());
});

t.test('of two entries with one name the first good one is shown', async (t) => {
  const image = udfImage([identifier('a', 5), identifier('a', 2), identifier('a', 3)], (image) =>
    image.entry(2, hello).entry(3, { area: Buffer.from('other') }),
  );
  t.same(await udfBytes(image, 'a'), Buffer.from('hello'));
});

t.test('one file may have several names', async (t) => {
  const image = udfImage([identifier('a', 2), identifier('b', 2)], (image) => image.entry(2, hello));
  const children = await (await openUdfImage(image)).root.children();
  t.same([...children.keys()], ['a', 'b']);
  t.equal(children.get('a'), children.get('b'));
});

t.test('a file may have holes', async (t) => {
  const area = Buffer.concat([shortDescriptor(2048, 20), shortDescriptor(4096, 0, 2), shortDescriptor(5, 21)]);
  const image = udfFiles({ sparse: { form: 'short', size: 6149, area } }, (image) =>
    image.block(20, 'A'.repeat(2048)).block(21, 'BBBBB'),
  );
  t.same((await udfFile(image, 'sparse')).extents[1], { offset: hole, length: 4096 });
  t.same(await udfBytes(image, 'sparse'), Buffer.from('A'.repeat(2048) + '\0'.repeat(4096) + 'BBBBB'));
});

/** Identifiers in the root that are all broken in their own way, and one that is not. */
function withBroken(fill: (image: UdfImage) => void, ...identifiers: Buffer[]): Promise<string[]> {
  return udfPaths(
    udfImage([...identifiers, identifier('good', 60)], (image) => {
      image.entry(60, hello);
      fill(image);
    }),
  );
}

t.test('a broken file entry is not shown, the others are', async (t) => {
  const fill = (image: UdfImage) => {
    image
      .entry(2, { ...hello, checksum: 1 })
      .entry(3, { ...hello, crc: 1 })
      .entry(4, { ...hello, version: 9 });
    image
      .block(5, fileEntry(6, hello))
      .block(7, 'no file entry')
      .entry(8, { size: 2 ** 43, form: 'short' });
    image.entry(9, { areaLength: 0xffffffff }).entry(10, { attributesLength: 0xffffffff, areaLength: 0xffffffff });
    image.entry(11, { size: 100 }).entry(12, { form: 'extended', size: 1, area: Buffer.alloc(20) });
    image.entry(13, { strategy: 4096 }).entry(14, { form: 'short', size: 1, area: shortDescriptor(1, 14, 3) });
    image.entry(15, { form: 'long', size: 5, area: Buffer.alloc(16, 0xff) });
  };
  const blocks = [2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, partitionBlocks, 0xffffffff];
  const identifiers = blocks.map((block) => identifier(`in ${block}`, block));
  t.same(await withBroken(fill, ...identifiers, identifier('nowhere', 60, { partition: 9 })), ['good']);
});

t.test('a file that leaves the .iso is not shown, the others are', async (t) => {
  const file = (block: number, size: number) => ({ form: 'short', size, area: shortDescriptor(size, block) }) as const;
  const fill = (image: UdfImage) => {
    image
      .entry(2, file(partitionBlocks - 1, 2049))
      .entry(3, file(0xffffffff, 1))
      .entry(4, file(0, 0x3fffffff));
    image.entry(5, file(partitionBlocks - 1, 2048));
  };
  const names = ['long', 'far', 'huge', 'last'].map((name, index) => identifier(name, 2 + index));
  t.same(await withBroken(fill, ...names), ['good', 'last']);
});

t.test('as in Linux, data may lie outside of its partition, a file entry may not', async (t) => {
  const outside = { form: 'short', size: 5, area: shortDescriptor(5, 0x3000) } as const;
  const image = udfFiles({ a: outside, b: hello }, (image) => image.block(0x3000, 'hello'));
  t.same(await udfBytes(image, 'a'), Buffer.from('hello'));
  const entry = udfImage([identifier('a', partitionBlocks + 5), identifier('b', 2)], (image) =>
    image.entry(partitionBlocks + 5, hello).entry(2, hello),
  );
  t.same(await udfPaths(entry), ['b']);
});

t.test('a file may lie where another one or a folder does', async (t) => {
  const file = { form: 'short', size: 4096, area: shortDescriptor(4096, rootBlock) } as const;
  t.same(await udfPaths(udfFiles({ a: file, b: file })), ['a', 'b']);
});

t.test('broken identifiers are passed over', async (t) => {
  const broken = [
    identifier('x', 60, { checksum: 0 }),
    identifier('x', 60, { nameLength: 255 }),
    identifier('x', 60, { tag: 261 }),
    Buffer.alloc(100),
  ];
  t.same(await withBroken(() => undefined, identifier('first', 60), ...broken), ['first', 'good']);
});

t.test('a folder that is its own ancestor is not shown', async (t) => {
  const image = udfImage([identifier('self', rootBlock), identifier('d', 2)], (image) =>
    image
      .folder(2, [identifier('up', rootBlock), identifier('again', 2), identifier('e', 3)])
      .folder(3, [identifier('up', 2)]),
  );
  t.same(await udfPaths(image), ['d/', 'd/e/']);
});

t.test('a folder at two places in one folder is shown once', async (t) => {
  const image = udfImage([identifier('a', 2), identifier('b', 2)], (image) => image.folder(2, []));
  t.same(await udfPaths(image), ['a/']);
});

t.test('folders are read 255 deep', async (t) => {
  const long = udfImageOf(400, (image) => {
    for (let block = 2; block < 300; block++) image.folder(block, [identifier('d', block + 1)]);
  });
  t.equal((await udfPaths(long)).length, 255);
});

/** An image of so many blocks whose root holds the folder d in block 2. */
function udfImageOf(blocks: number, fill: (image: UdfImage) => void): Buffer {
  return udfImage([identifier('d', 2)], (image) => {
    image.volume({ blocks });
    fill(image);
  });
}

t.test('a folder whose data is a hole is empty', async (t) => {
  const size = 60 * 2 ** 20;
  const folder = { type: 4, form: 'short', size, area: shortDescriptor(size, 0, 2) } as const;
  t.same(await udfPaths(udfFiles({ d: folder })), ['d/']);
});

t.test('the files of a folder have 262,144 extents together', async (t) => {
  // File entries in blocks of their own that share their continuations.
  const perBlock = (2048 - 24) / 8 - 1;
  const count = 65_536;
  const chain = Math.ceil(count / perBlock);
  const names = Array.from({ length: 6 }, (_, index) => identifier(`f${index}`, 3 + index));
  const image = udfImageOf(20 + chain, (image) => {
    image.folder(2, names);
    for (let index = 0; index < names.length; index++) {
      image.entry(3 + index, { form: 'short', size: count * 2048, area: shortDescriptor(2048, 10, 3) });
    }
    for (let block = 0; block < chain; block++) {
      const extents = Math.min(perBlock, count - block * perBlock);
      const list = Array.from({ length: extents }, (_, index) => shortDescriptor(2048, (index % 2) * 2));
      const area = Buffer.concat([...list, shortDescriptor(2048, 11 + block, 3)]);
      image.block(10 + block, allocationExtent(10 + block, area));
    }
  });
  const volume = await openUdfImage(image);
  const d = (await volume.root.children()).get('d');
  if (d?.type !== 'folder') throw new Error('no folder');
  t.equal((await d.children()).size, 4);
});

/** A volume whose root has a folder d of so many pieces, a block each, and what is read from it. */
async function inPieces(pieces: number) {
  const data = Buffer.concat(Array.from({ length: 1 + 10 * pieces }, (_, index) => identifier(`file ${index}`, 60)));
  const image = udfImage(
    [identifier('d', 2)],
    (image) => {
      const places = Array.from({ length: pieces }, (_, index) => 10 + 2 * index);
      const area = Buffer.concat(places.map((block) => shortDescriptor(512, block)));
      image.entry(2, { type: 4, form: 'short', size: 512 * pieces, area }).entry(60, hello);
      for (const [index, block] of places.entries()) image.block(block, data.subarray(512 * index, 512 * index + 512));
    },
    512,
  );
  const read = readerOf(image);
  const blocks: number[] = [];
  const { root } = await openUdf((offset, length) => {
    blocks.push(offset / 512 - partitionStart);
    return read(offset, length);
  }, image.length);
  const d = (await root.children()).get('d');
  if (d?.type !== 'folder') throw new Error('no folder');
  blocks.length = 0;
  return { image, d, blocks };
}

t.test('the file entry of a folder in many pieces is read again, as keeping them takes memory', async (t) => {
  const few = await inPieces(4);
  t.ok((await few.d.children()).size > 30);
  t.same(few.blocks, [10, 12, 14, 16, 60]);
  const many = await inPieces(5);
  t.ok((await many.d.children()).size > 40);
  t.same(many.blocks, [2, 10, 12, 14, 16, 18, 60]);
});

t.test('a folder in many pieces whose file entry is no longer there is an error', async (t) => {
  const { image, d } = await inPieces(5);
  image.fill(0, at(2, 512), at(3, 512));
  await t.rejects(d.children(), { code: 'BROKEN_ISO' });
});

/** An image with a folder of so many files, their file entries one behind the other or far from each other. */
function bigFolder(files: number, gap: number): Buffer {
  const data = Buffer.concat(
    Array.from({ length: files }, (_, index) => identifier(`file-number-${index}`, 10_000 + index * gap)),
  );
  const blocks = 10_000 + files * gap + 1;
  const image = Buffer.alloc((partitionStart + blocks) * 512);
  const size = { form: 'short', size: data.length, area: shortDescriptor(data.length, 100) } as const;
  udfImage([identifier('d', 2)], (image) => image.volume({ blocks: 9_999 }).entry(2, { type: 4, ...size }), 512).copy(
    image,
  );
  data.copy(image, (partitionStart + 100) * 512);
  const entry = fileEntry(0, hello);
  for (let index = 0; index < files; index++) {
    const block = 10_000 + index * gap;
    entry.writeUInt32LE(block, 12);
    entry[4] = 0;
    entry[4] = entry.subarray(0, 16).reduce((sum, byte) => sum + byte, 0) & 0xff;
    entry.copy(image, (partitionStart + block) * 512);
  }
  // Both partition descriptors, whose CRC is over what changes here: its length 0 is that of nothing.
  for (const sector of [82, 98]) {
    const place = sector * 512;
    numbers([2, 0], [2, 0]).copy(image, place + 8);
    image.writeUInt32LE(blocks, place + 192);
    image[place + 4] = 0;
    image[place + 4] = image.subarray(place, place + 16).reduce((sum, byte) => sum + byte, 0) & 0xff;
  }
  return image;
}

/** The entries of such a folder, and the lengths of what is read for them. */
async function readBig(image: Buffer): Promise<{ entries: number; lengths: readonly number[] }> {
  const read = readerOf(image);
  const lengths: number[] = [];
  const counting = (offset: number, length: number) => {
    lengths.push(length);
    return read(offset, length);
  };
  const { root } = await openUdf(counting, image.length);
  const d = (await root.children()).get('d');
  if (d?.type !== 'folder') throw new Error('no folder');
  lengths.length = 0;
  const entries = (await d.children()).size;
  return { entries, lengths };
}

t.test('a folder of 50,000 entries is read whole, in few reads, none of them large', async (t) => {
  const { entries, lengths } = await readBig(bigFolder(50_000, 1));
  t.equal(entries, 50_000);
  t.ok(lengths.length < 120, `${lengths.length} reads`);
  const largest = Math.max(...lengths);
  t.ok(largest <= 2 ** 20 + 2 ** 17, `${largest} bytes at once`);
});

t.test('file entries that are far from each other are read one by one', async (t) => {
  const { entries, lengths } = await readBig(bigFolder(200, 100));
  t.equal(entries, 200);
  t.same(
    lengths.slice(1),
    Array.from({ length: 200 }, () => 512),
  );
});

t.test('a folder that takes too much work is an error, and the others are served', async (t) => {
  const names = Array.from({ length: 200 }, (_, index) => identifier(`f${index}`, 2));
  const { root } = await openUdfImage(udfImage(names, (image) => image.entry(2, hello)));
  await t.rejects(root.children(new Budget(10)), { code: 'BROKEN_ISO' });
  t.equal((await root.children()).size, 200);
});

t.test('a disk that fails is an error', async (t) => {
  const image = udfFiles({ a: hello });
  const read = readerOf(image);
  let fails = false;
  const failing = (offset: number, length: number) => (fails ? Promise.reject(new Error('EIO')) : read(offset, length));
  const { root } = await openUdf(failing, image.length);
  fails = true;
  await t.rejects(root.children(), { message: 'EIO' });
  fails = false;
  t.equal((await root.children()).size, 1, 'and is asked again');
});
