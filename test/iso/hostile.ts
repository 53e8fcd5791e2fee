/**
 * The classes of faults that readers of ISO 9660 have had, each with the numbers under which they were published. Of
 * every image: no bad name, nothing from outside, work that is bounded by counting it, and the rest is still served.
 */
import t, { type Test } from 'tap';
import { type IsoEntry, type ReadAt, sectorBytes } from '../../lib/iso/entries.js';
import { lookup } from '../../lib/iso/lookup.js';
import { openIso } from '../../lib/iso/volume.js';
import { field, folderRecord, IsoBuilder, linkFields, record, rootFields, ucs2 } from '../fixtures/iso-builder.js';
import { type Examination, examine } from '../fixtures/iso-examination.js';
import { crawl, openImage, plain, ROOT, rockRidge } from '../fixtures/iso-volume.js';

const good = record('GOOD.;1', { block: 99, length: 7, systemUse: field.nm('good') });
const last = record('LAST.;1', { block: 99, length: 7, systemUse: field.nm('last') });

function named(name: string, ...fields: Buffer[]): Buffer {
  return record('X.;1', { block: 99, length: 1, systemUse: Buffer.concat([field.nm(name), ...fields]) });
}

function folder(name: string, sector: number, length = sectorBytes): Buffer {
  return folderRecord('X', sector, length, { systemUse: field.nm(name) });
}

function relocated(name: string, sector: number, ...more: Buffer[]): Buffer {
  return record('X', { systemUse: Buffer.concat([field.nm(name), field.cl(sector), ...more]) });
}

/** Looks at everything in an image that has the good files in its root; they must be there, with nothing bad beside them. */
async function examineGood(t: Test, image: Buffer, maxReads: number, limit?: number): Promise<Examination> {
  const found = await examine(image, limit);
  t.equal(found.error, undefined);
  t.same(found.faults, []);
  t.ok(found.reads <= maxReads, `${found.reads} reads`);
  for (const name of ['good', 'last']) t.match(found.entries.get(name), { type: 'file', size: 7 }, name);
  return found;
}

/** The same of an image whose root holds these records between the good ones. */
function examineRoot(t: Test, records: readonly Buffer[], maxReads: number, fill?: (builder: IsoBuilder) => void) {
  return examineGood(t, rockRidge([good, ...records, last], fill), maxReads);
}

// CVE-2014-9420 (Linux), CVE-2019-1000020 (libarchive)
t.test('continuations that go round, overlap, cross their block or leave the ISO', async (t) => {
  const fill = (builder: IsoBuilder) => {
    builder.put(40, field.ce(41, 0, 28)).put(41, field.ce(40, 0, 28));
    builder.put(42, Buffer.concat([field.nm(' and on'), field.ce(42, 12, 28)]));
    builder.put(46, Buffer.concat([field.nm(' and on'), field.ce(46, 4, 100)]));
    builder.put(43, Buffer.concat([field.ce(43, 0, 28), field.ce(44, 0, 28)])).put(44, field.nm(' to its end'));
    for (let hop = 0; hop < 40; hop++) builder.put(50 + hop, field.ce(51 + hop, 0, 28));
  };
  const areas: Record<string, Buffer> = {
    'back and forth': field.ce(40, 0, 28),
    'over itself': field.ce(42, 0, 100),
    'into a field': field.ce(46, 0, 100),
    'into its own record': field.ce(ROOT, 0, sectorBytes),
    'into the descriptors': field.ce(16, 0, sectorBytes),
    'into a file': field.ce(99, 0, sectorBytes),
    'forty hops': field.ce(50, 0, 28),
    'across its block': field.ce(45, sectorBytes - 4, 8),
    'behind its block': field.ce(45, sectorBytes + 1, 4),
    'behind the ISO': field.ce(100, 0, 4),
    'out of this world': field.ce(0xffffffff, 0xffffffff, 0xffffffff),
    'of no length': field.ce(45, 10, 0),
    'of two the later counts': Buffer.concat([field.ce(40, 0, 28), field.ce(45, 0, 28)]),
  };
  const { paths } = await examineRoot(
    t,
    Object.entries(areas).map(([name, ce]) => named(name, ce)),
    100,
    fill,
  );
  const shown = ['into a field and on', 'into a file', 'into its own record', 'into the descriptors', 'of no length'];
  t.same(paths, ['good', ...shown, 'of two the later counts', 'last'].sort());
  const { paths: joined } = await examineRoot(t, [named('a', field.ce(43, 28, 28))], 10, fill);
  t.same(joined, ['a to its end', 'good', 'last'], 'an area in the middle of another one is one of its own');
});

t.test('a root that declares Rock Ridge by continuations without end', async (t) => {
  const image = rockRidge([good, last], (builder) => {
    builder.folder(ROOT, [good, last], Buffer.concat([rootFields, field.ce(40, 0, 28)]));
    builder.put(40, field.ce(40, 0, 28));
  });
  t.equal((await examineGood(t, image, 10)).volume?.view, 'rockridge');
});

// CVE-2014-5471, CVE-2014-5472 (Linux), CVE-2015-8930 (libarchive)
t.test('folders and relocations that lead back to themselves, up, beside or into files', async (t) => {
  const fill = (builder: IsoBuilder) => {
    const loops = [folder('self', 40), folder('root', ROOT), relocated('up', ROOT), relocated('here', 40)];
    builder.folder(40, [...loops, folder('down', 41), named('in a')]);
    builder.folder(41, [folder('back', 40), relocated('back too', 40), named('in down')]);
    builder.folder(42, [relocated('to c', 43), named('in b')]);
    builder.folder(43, [relocated('to b', 42), named('in c')]);
  };
  const records = [
    ...[folder('a', 40), folder('a again', 40), folder('root', ROOT), relocated('root too', ROOT)],
    ...[relocated('b', 42), relocated('b again', 42), relocated('gone', 43, field.re())],
    ...[relocated('to a file', 99), relocated('to no folder', 17), relocated('out', 0xffffffff)],
  ];
  const { paths } = await examineRoot(t, records, 30, fill);
  const shown = ['a/', 'a/down/', 'a/down/in down', 'a/in a', 'b/', 'b/in b', 'b/to c/', 'b/to c/in c', 'good', 'last'];
  t.same(paths, shown);
});

t.test('folders that all lead to all others end at a depth, and each is read by itself', async (t) => {
  const fill = (builder: IsoBuilder) => {
    const all = Array.from({ length: 30 }, (_, index) => folder(`d${index}`, 40 + index));
    for (let index = 0; index < 30; index++) builder.folder(40 + index, [...all, named('file')]);
  };
  const image = rockRidge([good, folder('d', 40), last], fill);
  const { paths, entries, reads } = await examineGood(t, image, 20_000);
  const folders = [...entries.values()].filter(({ type }) => type === 'folder').length;
  t.ok(reads <= folders + 5, `${reads} reads for ${folders} folders`);
  t.ok(Math.max(...paths.map((path) => path.split('/').length)) <= 32, 'no branch comes by a place twice');
});

t.test('folders that begin a sector apart inside each other end at a depth', async (t) => {
  const fill = (builder: IsoBuilder) => {
    for (let sector = 200; sector < 900; sector++) builder.put(sector, folder('d', sector + 1, 1000 * sectorBytes));
    builder.put(2000, 'the end');
  };
  const image = rockRidge([good, folder('d', 200, 1000 * sectorBytes), last], fill);
  const { entries, bytes } = await examineGood(t, image, 5000, 2000);
  t.ok(entries.size <= 2000 + 701, `${entries.size} entries`);
  t.ok(bytes < 2 * 2 ** 30, `${bytes} bytes`);
});

// CVE-2014-9584, CVE-2016-4913 (Linux), CVE-2017-14501 (libarchive)
t.test('System Use fields of every length that there can and cannot be', async (t) => {
  const signatures = ['NM', 'PX', 'TF', 'SL', 'CL', 'PL', 'RE', 'CE', 'SP', 'ER', 'ES', 'ST', 'PD', 'ZF', 'SF', '\0\0'];
  const lengths = [...Array.from({ length: 40 }, (_, length) => length), 100, 200, 254, 255];
  for (const filler of [0, 0xff, 0x41]) {
    const records = signatures.flatMap((letters) =>
      lengths.map((length) => {
        const bytes = Buffer.alloc(Math.max(3, Math.min(length, 200)), filler);
        bytes.write(letters, 0, 'latin1');
        bytes[2] = length;
        return record(`F${letters}${length}.;1`, { systemUse: bytes });
      }),
    );
    const image = rockRidge([], (builder) => {
      const rootLength = builder.folder(200, [good, ...records, last], rootFields);
      builder.folder(ROOT, [good, folder('all', 200, rootLength), last], rootFields);
    });
    const { entries } = await examineGood(t, image, 100);
    for (const name of ['all/good', 'all/last']) t.match(entries.get(name), { size: 7 }, name);
    t.ok(entries.size > 400, `${entries.size} entries`);
  }
});

t.test('the fields of the root of every length that there can and cannot be', async (t) => {
  for (const letters of ['SP', 'ER', 'CE', 'ST', 'RE', 'CL']) {
    for (const length of [0, 1, 3, 4, 5, 6, 7, 8, 12, 28, 100, 255]) {
      const bytes = Buffer.alloc(Math.max(7, Math.min(length, 200)), 0xff);
      bytes.write(letters, 0, 'latin1');
      bytes[2] = length;
      const image = rockRidge([good, last], (builder) => builder.put(ROOT, rootWith(builder, [good, last], bytes)));
      const { error, faults, entries } = await examine(image);
      t.same([error, faults], [undefined, []], `${letters} of ${length}`);
      t.ok(entries.has('good') || entries.has('good.'), `${letters} of ${length}`);
    }
  }
});

/** The sector of a root with these fields. */
function rootWith(builder: IsoBuilder, records: readonly Buffer[], fields: Buffer): Buffer {
  builder.folder(ROOT, records, fields);
  return builder.build().subarray(ROOT * sectorBytes, (ROOT + 1) * sectorBytes);
}

// CVE-2016-5844 (libarchive), CVE-2015-8836 (fuseiso)
t.test('blocks and lengths whose product or sum is beyond every bound', async (t) => {
  const most = 0xffffffff;
  const records = [
    record('FAR', { block: most, length: most, attributes: 255, systemUse: field.nm('far') }),
    record('LONG', { block: 0, length: most, systemUse: field.nm('long') }),
    record('EMPTY', { block: most, attributes: 255, systemUse: field.nm('empty') }),
    folderRecord('F', most, most, { attributes: 255, systemUse: field.nm('far folder') }),
    folderRecord('F', 30, most, { systemUse: field.nm('long folder') }),
    folderRecord('F', most, 0, { systemUse: field.nm('odd folder') }),
    relocated('relocated', most),
  ];
  const { paths, entries } = await examineRoot(t, records, 10);
  t.same(paths, ['empty', 'good', 'last']);
  t.match(entries.get('empty'), { size: 0, extents: [] });
});

/** Reads an image that is followed by zeros up to so many bytes. */
function padded(image: Buffer, bytes: number): { read: ReadAt; bytes: number; asked: number[] } {
  const asked: number[] = [];
  const read = (offset: number, length: number) => {
    if (offset < 0 || offset + length > bytes) throw new RangeError(`bytes ${offset} to ${offset + length}`);
    asked.push(length);
    const data = Buffer.alloc(length);
    if (offset < image.length) image.copy(data, 0, offset);
    return Promise.resolve(data);
  };
  return { read, bytes, asked };
}

t.test('a file of a hundred sections of four gigabytes has a size that a number can hold', async (t) => {
  const section = (flags: number) => record('BIG', { length: 0xffffffff, flags, systemUse: field.nm('big') });
  const { read, bytes } = padded(
    rockRidge([...Array.from({ length: 99 }, () => section(0x80)), section(0), last]),
    2 ** 33,
  );
  const volume = await openIso(read, bytes);
  const big = (await volume.root.children()).get('big');
  t.match(big, { type: 'file', size: 100 * 0xffffffff });
  t.ok(100 * 0xffffffff < 8 * 2 ** 40, 'below eight tebibytes');
});

t.test('a folder may have 64 MiB and no byte more, however large the ISO is', async (t) => {
  const limit = 64 * 2 ** 20;
  const root = [
    folder('most', 1000, limit),
    folder('more', 1000, limit + 1),
    folder('four gigabytes', 30, 0xffffffff),
    last,
  ];
  const { read, bytes, asked } = padded(rockRidge(root), 2 ** 33);
  const volume = await openIso(read, bytes);
  const children = await volume.root.children();
  t.same([...children.keys()], ['most', 'last']);
  const most = children.get('most');
  asked.length = 0;
  t.equal(most?.type === 'folder' && (await most.children()).size, 0, 'all of it is padding');
  t.equal(
    asked.reduce((sum, length) => sum + length, 0),
    limit,
    'and is read once',
  );
  t.ok(Math.max(...asked) <= 2 ** 20, 'in pieces: it never is in memory as a whole');
});

// CVE-2015-8837 (fuseiso), CVE-2007-6613, CVE-2024-36600 (libcdio)
t.test('names, paths and targets that are longer than any buffer for them', async (t) => {
  const longest = 'n'.repeat(255);
  const parts = (name: string, count: number) => Buffer.concat(Array.from({ length: count }, () => field.nm(name, 1)));
  const fill = (builder: IsoBuilder) => {
    const target = Buffer.concat(Array.from({ length: 7 }, () => field.sl([[0, 't'.repeat(240)]])));
    builder.put(40, parts('a', 341)).put(41, parts('n'.repeat(15), 17));
    for (const sector of [42, 43, 44]) builder.put(sector, Buffer.concat([target, field.ce(sector + 1, 0, 2048)]));
    const deeper = (sector: number) => folderRecord('X', sector, sectorBytes, { systemUse: field.ce(41, 0, 17 * 20) });
    for (let sector = 200; sector < 500; sector++) builder.folder(sector, [deeper(sector + 1)]);
    builder.folder(500, []);
  };
  const records = [
    record('A', { systemUse: field.ce(40, 0, 341 * 6) }),
    record('N', { block: 99, length: 1, systemUse: field.ce(41, 0, 17 * 20) }),
    record('L', { systemUse: Buffer.concat([field.nm('long link'), field.ce(42, 0, 2048)]) }),
    folder('deep', 200),
  ];
  const { paths, volume } = await examineRoot(t, records, 600, fill);
  t.ok(paths.includes('a'.repeat(255)), 'what does not fit is left out');
  t.ok(paths.includes(longest));
  t.notOk(
    paths.some((path) => path.startsWith('long link')),
    'a link that is longer than any path leads nowhere',
  );
  const deepest = paths.reduce((one, other) => (one.split('/').length > other.split('/').length ? one : other));
  t.equal(deepest.length, 'deep/'.length + 254 * 256, '255 folders inside each other, with the longest names');
  const found = volume && (await lookup(volume.root, deepest.split('/').slice(0, -1), 'exact'));
  t.equal(found?.entry.type, 'folder', 'and the last of them is found');
});

// CVE-2007-6613 (libcdio), and a Joliet path of libarchive
t.test('Joliet names that fill their records', async (t) => {
  const name = (length: number) => record(ucs2('j'.repeat(length)), { block: 99, length: 7 });
  const cut = record(ucs2('cut'), { nameLength: 255 });
  const odd = record(Buffer.from([0, 0x6f, 0]), { block: 99, length: 7 });
  const image = plain([], (builder) => builder.folder(50, [name(110), name(1), cut, odd, name(64)]));
  image.copy(image, 17 * sectorBytes, 16 * sectorBytes, 17 * sectorBytes);
  image[17 * sectorBytes] = 2;
  image.write('%/E', 17 * sectorBytes + 88);
  image.writeUInt32LE(50, 17 * sectorBytes + 158);
  const { paths, faults } = await examine(image);
  t.same(faults, []);
  t.same(paths, ['j', 'j'.repeat(64), 'j'.repeat(110), 'o'].sort());
});

// Linux 0a9e74051313, and the file handles of CVE-2025-37780
t.test('file types that there are not', async (t) => {
  const modes = Array.from({ length: 16 }, (_, type) => (type << 12) | 0o7777);
  const { entries } = await examineRoot(
    t,
    [...modes, 0xffffffff, 0x12340000].map((mode) => named(`mode ${mode.toString(8)}`, field.px(mode))),
    10,
  );
  const types = new Set([...entries.values()].map(({ type }: IsoEntry) => type));
  t.same([...types].sort(), ['file', 'folder'], 'a link needs a target');
  for (const device of [0o010000, 0o020000, 0o060000, 0o140000]) {
    t.notOk(entries.has(`mode ${(device | 0o7777).toString(8)}`), 'no device, no pipe, no socket');
  }
});

t.test('records whose length or name length is anything', async (t) => {
  for (let value = 0; value < 256; value++) {
    for (const broken of [{ recordLength: value }, { nameLength: value }]) {
      const image = rockRidge([], (builder) => {
        const sector = Buffer.concat([good, record('BROKEN', broken), Buffer.alloc(sectorBytes)]);
        const own = [folderRecord(Buffer.from([0]), ROOT, 2 * sectorBytes, { systemUse: rootFields }), sector];
        builder.put(ROOT, Buffer.concat(own).subarray(0, sectorBytes)).put(ROOT + 1, last);
      });
      image.writeUInt32LE(2 * sectorBytes, 16 * sectorBytes + 166);
      const { error, faults, entries, reads } = await examine(image);
      const isServed = entries.has('good') && entries.has('last');
      if (error !== undefined || faults.length > 0 || !isServed || reads > 5) {
        t.fail(`${JSON.stringify(broken)}: ${JSON.stringify({ error, faults, reads, names: [...entries.keys()] })}`);
      }
    }
  }
  t.pass('the records before it and in the next sector are served');
});

t.test('links whose components try to be more than they are', async (t) => {
  const targets: Record<string, Buffer> = {
    'slash inside': field.sl([[0, '../../../../etc/passwd']]),
    'dots as text': field.sl([
      [0, '..'],
      [0, '..'],
      [0, 'good'],
    ]),
    'root in the middle': field.sl([
      [0, 'x'],
      [8, ''],
      [0, 'good'],
    ]),
    'root with text': field.sl([[8, 'etc']]),
    'NUL inside': field.sl([[0, 'good\0bad']]),
    empty: field.sl([
      [0, ''],
      [0, ''],
    ]),
    'a host': field.sl([
      [0x20, ''],
      [0, 'good'],
    ]),
    forged: field.sl([[0, 'a\r\nb']]),
  };
  const { volume, paths } = await examineRoot(
    t,
    Object.entries(targets).map(([name, sl]) => named(name, sl)),
    10,
  );
  if (volume === undefined) throw new Error('not opened');
  const found = async (name: string) => (await lookup(volume.root, [name], 'exact'))?.path;
  t.equal(await found('slash inside'), undefined);
  t.equal(await found('dots as text'), 'good', 'no higher than the root');
  t.equal(await found('root with text'), '', 'the root of the image');
  t.notOk(
    paths.some((path) => /^(NUL inside|forged|a host)/.test(path)),
    'these cannot be targets',
  );
});

t.test('a hundred primary descriptors and no terminator', async (t) => {
  const builder = new IsoBuilder();
  builder.folder(200, [good, last], rootFields);
  for (let count = 0; count < 100; count++) builder.descriptor({ rootBlock: count === 0 ? 200 : 0xffffffff });
  await examineGood(t, builder.put(201, 'the end').build(), 3);
});

t.test('two Joliet descriptors, and one that contradicts the primary one', async (t) => {
  const disc = (...roots: number[]) => {
    const builder = new IsoBuilder().descriptor({ rootBlock: ROOT });
    for (const rootBlock of roots) {
      builder.descriptor({ type: 2, rootBlock, escape: '%/E', blocks: 0xffffffff, blockSize: 65535 });
    }
    builder.terminator().folder(ROOT, [record('PLAIN.;1')]);
    builder.folder(30, [record(ucs2('joliet'))]);
    builder.folder(31, [record(ucs2('other'))]);
    return examine(builder.put(99, 'the end').build());
  };
  t.same((await disc(30, 31)).paths, ['joliet'], 'the first one, with the block size of the primary one');
  t.match(
    await disc(0xffffffff),
    { error: undefined, paths: ['plain'] },
    'one whose root is nowhere counts for nothing',
  );
});

t.test('an empty primary tree beside a Joliet one, and two empty ones', async (t) => {
  const disc = (primary: readonly Buffer[], joliet: readonly Buffer[], fields = Buffer.alloc(0)) => {
    const builder = new IsoBuilder().descriptor({ rootBlock: ROOT });
    builder.descriptor({ type: 2, rootBlock: 30, escape: '%/E' }).terminator();
    builder.folder(ROOT, primary, fields);
    builder.folder(30, joliet);
    return examine(builder.put(99, 'the end').build());
  };
  t.match(await disc([], [record(ucs2('joliet'))]), { error: undefined, paths: ['joliet'] });
  t.match(await disc([], [record(ucs2('joliet'))], rootFields), { error: undefined, paths: ['joliet'] });
  t.match(await disc([], [], rootFields), { error: undefined, paths: [] });
});

/** Folders of so many entries each, which begin in this sector. */
function forest(folders: number, entries: number): Buffer {
  const files = Array.from({ length: entries }, (_, index) => record(`F${index}.;1`, { block: 10, length: 1 }));
  return plain([], (builder) => {
    let sector = 1000;
    const records = Array.from({ length: folders }, (_, index) => {
      const start = sector;
      const length = builder.folder(start, files);
      sector += length / sectorBytes;
      return folderRecord(`D${index}`, start, length);
    });
    const length = builder.folder(200, records);
    builder.folder(ROOT, [folderRecord('ALL', 200, length), record('LAST.;1')]);
  });
}

t.test('a folder with more entries than are allowed is refused by itself', async (t) => {
  const image = forest(2, 20_000);
  const read = padded(image, image.length);
  const volume = await openIso(read.read, read.bytes, { maxEntries: 5000 });
  t.same([...(await volume.root.children()).keys()], ['all', 'last']);
  const all = (await volume.root.children()).get('all');
  const first = all?.type === 'folder' ? (await all.children()).get('d0') : undefined;
  if (first?.type !== 'folder') throw new Error('no folder');
  read.asked.length = 0;
  await t.rejects(first.children(), { code: 'BROKEN_ISO', message: /5000/ });
  t.ok(read.asked.length <= 3, 'and is not read to its end');
  t.equal((await lookup(volume.root, ['last'], 'exact'))?.path, 'last', 'its neighbours are served');
});

t.test('a tree with more entries than are allowed is served folder by folder', async (t) => {
  const image = forest(40, 1000);
  image.writeUInt32LE(image.length, 16 * sectorBytes + 80);
  const read = padded(image, image.length);
  const volume = await openIso(read.read, read.bytes, { maxEntries: 4000 });
  const length = read.asked.reduce((sum, one) => sum + one, 0);
  t.ok(length < image.length / 2, `the search for its end has read ${length} of ${image.length} bytes`);
  t.equal((await crawl(volume)).size, 40_042);
});

t.test('an image of nothing but descriptors, and roots in odd places', async (t) => {
  for (const rootBlock of [0, 15, 16, 17, 18]) {
    const image = new IsoBuilder().descriptor({ rootBlock }).terminator().put(18, 'x').build();
    const { error, faults, reads } = await examine(image);
    t.same([error, faults], [undefined, []], `root at ${rootBlock}`);
    t.ok(reads <= 3);
  }
  t.match(await openImage(rockRidge([good, named('link', linkFields('good'))])), { view: 'rockridge' });
});
