import t, { type Test } from 'tap';
import { mkdir, mkdtemp, open, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readDescriptors } from '../../../lib/iso/descriptors.js';
import type { IsoFile, ReadAt } from '../../../lib/iso/entries.js';
import { openUdf } from '../../../lib/iso/udf/volume.js';
import { genisoimage, mkudffs, needFile, needTools, sparseGenisoimage, udfOnly } from '../../fixtures/iso-tools.js';
import { crawl, lineOf, readerOf } from '../../fixtures/iso-volume.js';
import {
  fileEntry,
  fileSet,
  identifier,
  longDescriptor,
  partitionMaps,
  shortDescriptor,
  sparingTable,
  UdfBuilder,
} from '../../fixtures/udf-builder.js';
import {
  anchorSector,
  at,
  fileSetBlock,
  mainSequence,
  openUdfImage,
  partitionBlocks,
  partitionStart,
  reserveSequence,
  rootBlock,
  udfBytes,
  udfFiles,
  udfImage,
  UdfImage,
  udfPaths,
} from '../../fixtures/udf-volume.js';

const hello = { area: Buffer.from('hello') };
const broken = { code: 'BROKEN_ISO' };

t.test('a volume has a label, an end and an identity', async (t) => {
  const image = udfFiles({ a: hello });
  const volume = await openUdfImage(image);
  t.match(volume, { label: 'LABEL', bytes: image.length });
  t.match(volume.identity, /^[0-9a-f]{64}$/);
  t.equal((await openUdfImage(Buffer.from(image))).identity, volume.identity, 'the same again');
  t.equal((await openUdfImage(udfFiles({ b: hello }))).identity, volume.identity, 'other files are not looked at');
  t.not((await openUdfImage(Buffer.concat([image, Buffer.alloc(2048)]))).identity, volume.identity, 'another size');
  const other = udfImage([], (image) => image.volume({ label: 'OTHER' }));
  t.not((await openUdfImage(other)).identity, volume.identity, 'another label');
  const bare = await openUdfImage(udfImage([], (image) => image.volume({ label: '' })));
  t.equal(bare.label, 'PRIMARY', 'that of the disc where the volume has none');
});

t.test('blocks may have 512, 1024, 2048 or 4096 bytes', async (t) => {
  for (const size of [512, 1024, 2048, 4096]) {
    const image = udfImage([identifier('a', 2)], (image) => image.entry(2, hello), size);
    t.same(await udfPaths(image), ['a'], `${size}`);
    t.ok((await readDescriptors(readerOf(image), image.length)).hasUdf, `${size} is recognised`);
  }
});

t.test('the reserve sequence counts where the main one is broken', async (t) => {
  const image = udfFiles({ a: hello });
  image.fill(0, mainSequence * 2048, (mainSequence + 4) * 2048);
  t.same(await udfPaths(image), ['a']);
  image.fill(0, reserveSequence * 2048, (reserveSequence + 4) * 2048);
  await t.rejects(openUdfImage(image), broken);
});

t.test('an anchor elsewhere counts where the first is broken', async (t) => {
  const image = new UdfImage().put(partitionStart + partitionBlocks - 1, 'the end');
  image
    .volume()
    .folder(rootBlock, [identifier('a', 2)])
    .entry(2, hello);
  image.anchor(partitionStart + partitionBlocks, [mainSequence, 4 * 2048]);
  const bytes = image.build();
  bytes.fill(0, anchorSector * 2048, (anchorSector + 1) * 2048);
  t.same(await udfPaths(bytes), ['a']);
  const wrong = new UdfBuilder().anchor(anchorSector, [7, 2048]).build();
  wrong.copy(bytes, anchorSector * 2048, anchorSector * 2048);
  t.same(await udfPaths(bytes), ['a'], 'or leads nowhere');
});

t.test('an image without an anchor is broken', async (t) => {
  for (const length of [0, 1, 512, 300 * 2048, 600 * 2048]) await t.rejects(openUdfImage(Buffer.alloc(length)), broken);
});

t.test('a volume without what it is made of is broken', async (t) => {
  const image = udfFiles({ a: hello });
  const sectors = { 'logical volume': 1, partition: 2 };
  for (const [name, index] of Object.entries(sectors)) {
    const without = Buffer.from(image);
    for (const start of [mainSequence, reserveSequence])
      without.fill(0, (start + index) * 2048, (start + index + 1) * 2048);
    await t.rejects(openUdfImage(without), broken, name);
  }
  for (const block of [fileSetBlock, rootBlock]) {
    const without = Buffer.from(image).fill(0, at(block), at(block + 1));
    await t.rejects(openUdfImage(without), broken);
  }
  const far = udfImage([], (image) => image.block(fileSetBlock, fileSet(fileSetBlock, 0xffffffff)));
  await t.rejects(openUdfImage(far), broken, 'a root outside of its partition');
  await t.rejects(
    openUdfImage(udfImage([], (image) => image.entry(rootBlock, hello))),
    broken,
    'a root that is a file',
  );
});

t.test('what is not read is refused by its name', async (t) => {
  const refused = (message: RegExp) => ({ code: 'UNSUPPORTED_ISO', message });
  const vat = udfImage([], (image) => image.volume({ maps: [partitionMaps.plain(), partitionMaps.virtual()] }));
  await t.rejects(openUdfImage(vat), refused(/virtual partition \(VAT\)/));
  const strategy = udfImage([], (image) => image.entry(rootBlock, { type: 4, strategy: 4096 }));
  await t.rejects(openUdfImage(strategy), refused(/ICB strategy 4096/));
  const extended = udfImage([], (image) => image.entry(rootBlock, { type: 4, form: 'extended' }));
  await t.rejects(openUdfImage(extended), refused(/extended allocation descriptors/));
  const sizes = udfImage([], (image) => image.volume({ blockSize: 4096 }));
  await t.rejects(openUdfImage(sizes), refused(/blocks of 4096 bytes in sectors of 2048/));
});

t.test('an image that ends before its files do is refused', async (t) => {
  const truncated = { code: 'TRUNCATED' };
  const file = { form: 'short', size: 3000, area: shortDescriptor(3000, 90) } as const;
  const deep = udfImage([identifier('d', 2), identifier('e', 3)], (image) =>
    image
      .folder(2, [identifier('f', 4)])
      .entry(4, file)
      .folder(3, [], 70),
  );
  t.ok(await openUdfImage(deep));
  await t.rejects(openUdfImage(deep.subarray(0, at(90) + 2999)), truncated, 'a file deep in the tree');
  t.ok(await openUdfImage(deep.subarray(0, at(92))), 'missing padding is no loss');
  await t.rejects(openUdfImage(udfFiles({ a: file }).subarray(0, at(2))), truncated, 'a file entry');
  await t.rejects(openUdfImage(deep.subarray(0, at(1))), truncated, 'the root');
  await t.rejects(openUdfImage(deep.subarray(0, at(0))), truncated, 'everything');
});

t.test('spared packets and metadata partitions are where the volume says', async (t) => {
  const spared = new UdfImage().volume({ maps: [partitionMaps.sparable(4, 2048, [240])] });
  spared.put(240, sparingTable(240, [[8, 200]])).put(201, fileEntry(9, hello));
  spared.folder(rootBlock, [identifier('a', 9)]);
  t.same(await udfBytes(spared.build(), 'a'), Buffer.from('hello'));

  const maps = [partitionMaps.plain(), partitionMaps.metadata(10, 11)];
  const metadata = new UdfImage().volume({ maps, partition: 1 });
  const file = {
    isExtended: true,
    form: 'short',
    size: 4 * 2048,
    area: shortDescriptor(4 * 2048, 20),
    version: 3,
  } as const;
  metadata.entry(10, { ...file, type: 250 }).entry(11, { ...file, type: 251 });
  metadata.block(20, fileSet(0, 1, 1));
  const area = identifier('a', 2, { partition: 1 });
  metadata.block(21, fileEntry(1, { type: 4, isExtended: true, area }));
  const data = { form: 'long', size: 5, area: longDescriptor(5, 50, 0) } as const;
  metadata.block(22, fileEntry(2, { isExtended: true, ...data })).block(50, 'bytes');
  const image = metadata.build();
  t.same(await udfBytes(image, 'a'), Buffer.from('bytes'));
  image.fill(0, at(10), at(11));
  t.same(await udfBytes(image, 'a'), Buffer.from('bytes'), 'by the mirror too');
});

t.test('a disk that fails while the volume is opened is an error', async (t) => {
  const image = udfFiles({ a: hello });
  const read = readerOf(image);
  for (const failing of [anchorSector * 2048, mainSequence * 2048, at(fileSetBlock), at(rootBlock)]) {
    const volume = openUdf((offset, length) => {
      return offset === failing ? Promise.reject(new Error('EIO')) : read(offset, length);
    }, image.length);
    await t.rejects(volume, { message: 'EIO' });
  }
});

/** A folder that is gone when the test ends. */
async function scratch(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'udf-'));
  t.teardown(() => rm(folder, { recursive: true }));
  return folder;
}

/** Lends a reader of a file. */
async function withFile<T>(path: string, use: (read: ReadAt, bytes: number) => Promise<T>): Promise<T> {
  const file = await open(path);
  try {
    const read: ReadAt = async (offset, length) => {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, offset);
      if (bytesRead < length) throw new RangeError(`Bytes ${offset} to ${offset + length} were asked for`);
      return buffer;
    };
    return await use(read, (await file.stat()).size);
  } finally {
    await file.close();
  }
}

async function bytesIn(read: ReadAt, { extents }: IsoFile): Promise<Buffer> {
  return Buffer.concat(await Promise.all(extents.map(({ offset, length }) => read(offset, length))));
}

const tree: Readonly<Record<string, Buffer>> = {
  'a.txt': Buffer.from('hello\n'),
  empty: Buffer.alloc(0),
  'folder/b.bin': Buffer.alloc(5000, 'b'),
  'folder/deep/Grüße ☃.txt': Buffer.from('c'),
};

async function fill(folder: string): Promise<void> {
  await mkdir(join(folder, 'folder/deep'), { recursive: true });
  for (const [path, bytes] of Object.entries(tree)) await writeFile(join(folder, path), bytes);
}

/** Compares every file of an ISO with those that went into it. */
async function compare(t: Test, iso: string, label: string): Promise<void> {
  await withFile(iso, async (read, bytes) => {
    const volume = await openUdf(read, bytes);
    t.equal(volume.label, label);
    t.ok(volume.bytes <= bytes);
    t.ok((await readDescriptors(read, bytes)).hasUdf);
    const found = await crawl(volume);
    t.same(
      [...found]
        .map(([path, entry]) => lineOf(path, entry))
        .filter((line) => !line.startsWith('link'))
        .sort(),
      [...Object.keys(tree), 'folder/', 'folder/deep/'].sort(),
    );
    for (const [path, content] of Object.entries(tree)) {
      const entry = found.get(path);
      t.same(entry?.type === 'file' && (await bytesIn(read, entry)), content, path);
    }
  });
}

t.test('a bridge disc of genisoimage', async (t) => {
  if (!(await needTools(t, 'genisoimage'))) return;
  const folder = await scratch(t);
  await fill(join(folder, 'src'));
  await symlink('a.txt', join(folder, 'src/link'));
  await genisoimage(join(folder, 'a.iso'), join(folder, 'src'), '-udf', '-r', '-V', 'BRIDGE');
  await compare(t, join(folder, 'a.iso'), 'BRIDGE');
});

t.test('a file of more than 4 GiB, whose size ISO 9660 has wrong', async (t) => {
  if (!(await needTools(t, 'genisoimage'))) return;
  const folder = await scratch(t);
  await mkdir(join(folder, 'src'));
  const size = 2 ** 32 + 12_345;
  await writeFile(join(folder, 'src/huge.img'), '');
  await truncate(join(folder, 'src/huge.img'), size);
  await sparseGenisoimage(join(folder, 'a.iso'), join(folder, 'src'), 2 ** 33, '-udf', '-allow-limited-size');
  await withFile(join(folder, 'a.iso'), async (read, bytes) => {
    const { root } = await openUdf(read, bytes);
    const huge = (await root.children()).get('huge.img');
    t.match(huge, { type: 'file', size });
    t.equal(huge?.type === 'file' && huge.extents.length, 1, 'in one extent');
  });
});

/** Of the Debian package python3-pycdlib. */
const pycdlib = '/usr/lib/python3/dist-packages/pycdlib/__init__.py';

t.test('a disc like those of Windows', async (t) => {
  if (!(await needFile(t, pycdlib))) return;
  const folder = await scratch(t);
  await fill(join(folder, 'src'));
  await udfOnly(join(folder, 'a.iso'), join(folder, 'src'));
  // The writer gives every logical volume this name.
  await compare(t, join(folder, 'a.iso'), 'CDROM');
});

t.test('an empty volume of mkudffs, of every revision and block size', async (t) => {
  if (!(await needTools(t, 'mkudffs'))) return;
  const folder = await scratch(t);
  const path = join(folder, 'a.img');
  const formats = [
    ...['1.02', '1.50', '2.00', '2.01'].map((revision) => [`--udfrev=${revision}`, '--blocksize=2048']),
    ...[512, 1024, 4096].map((size) => ['--udfrev=2.01', `--blocksize=${size}`]),
    ['--blocksize=2048', '--media-type=cdrw', '--udfrev=1.50'],
    ['--blocksize=2048', '--media-type=dvdrw', '--udfrev=2.01'],
  ];
  for (const format of formats) {
    await mkudffs(path, 40_000_000, '--label=Grüße ☃', ...format);
    const image = await readFile(path);
    const volume = await openUdfImage(image);
    t.equal(volume.label, 'Grüße ☃', format.join(' '));
    t.same(
      [...(await volume.root.children()).keys()].filter((name) => name !== 'lost+found'),
      [],
      format.join(' '),
    );
    t.ok((await readDescriptors(readerOf(image), image.length)).hasUdf);
  }
});

t.test('a disc that can be written once is refused', async (t) => {
  if (!(await needTools(t, 'mkudffs'))) return;
  const path = join(await scratch(t), 'a.img');
  for (const [format, message] of [
    [['--media-type=cdr', '--udfrev=1.50'], /virtual partition/],
    [['--udfrev=1.50', '--strategy=4096'], /strategy 4096/],
  ] as const) {
    await mkudffs(path, 40_000_000, '--blocksize=2048', ...format);
    await t.rejects(openUdfImage(await readFile(path)), { code: 'UNSUPPORTED_ISO', message });
  }
});
