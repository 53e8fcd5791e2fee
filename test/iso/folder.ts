import t from 'tap';
import { type IsoFile, sectorBytes } from '../../lib/iso/entries.js';
import { Budget } from '../../lib/iso/budget.js';
import {
  field,
  folderRecord,
  type IsoBuilder,
  linkFields,
  record,
  recordedDate,
  ucs2,
} from '../fixtures/iso-builder.js';
import { openImage, paths, plain, ROOT, rockRidge } from '../fixtures/iso-volume.js';
import { countTurns } from '../fixtures/turns.js';

/** A file record with Rock Ridge fields. */
function named(name: string | Buffer, ...fields: Buffer[]): Buffer {
  return record('X.;1', { block: 30, length: 5, systemUse: Buffer.concat([field.nm(name), ...fields]) });
}

async function fileOf(image: Buffer, name: string): Promise<IsoFile> {
  const volume = await openImage(image);
  const entry = (await volume.root.children()).get(name);
  if (entry?.type !== 'file') throw new Error(`no file ${name}`);
  return entry;
}

/** The paths of an image whose root holds these records. */
function rootOf(records: readonly Buffer[], fill?: (builder: IsoBuilder) => void): Promise<string[]> {
  return paths(rockRidge(records, fill));
}

t.test('a file has the extent, size and time of its record', async (t) => {
  const file = await fileOf(plain([record('A.TXT;1', { block: 30, length: 5000, attributes: 2 })]), 'a.txt');
  t.same(file.extents, [{ offset: 32 * sectorBytes, length: 5000 }], 'behind its extended attributes');
  t.match(file, { size: 5000, modified: recordedDate.getTime() });
});

t.test('an empty file is served wherever its record points', async (t) => {
  const file = await fileOf(plain([record('A;1', { block: 0xffffffff, length: 0 })]), 'a');
  t.match(file, { size: 0, extents: [] });
});

t.test('a compressed file has the size that it decompresses to, and the extents of what is stored', async (t) => {
  const systemUse = field.zf(16, 15, 1_000_000);
  const stored = [{ offset: 30 * sectorBytes, length: 5000 }];
  const compressed = record('A;1', { block: 30, length: 5000, systemUse });
  const zisofs = { headerBytes: 16, blockBytes: 32_768, size: 1_000_000 };
  t.match(await fileOf(rockRidge([compressed]), 'a'), { size: 1_000_000, extents: stored, zisofs });
  const second = record('A;1', { block: 30, length: 5000, systemUse: field.zf(16, 15, 1_000_000, 'PZ') });
  t.strictSame(await fileOf(rockRidge([second]), 'a'), {
    type: 'file',
    extents: stored,
    size: 5000,
    modified: recordedDate.getTime(),
  });
  const outside = record('A;1', { block: 90, length: 50_000, systemUse });
  t.same(await rootOf([outside]), [], 'what leaves the .iso is not served');
});

t.test('sections that follow each other are one extent', async (t) => {
  const sections = [
    record('BIG;1', { block: 30, length: 4 * sectorBytes, flags: 0x80 }),
    record('BIG;1', { block: 34, length: 2 * sectorBytes, flags: 0x80 }),
    record('BIG;1', { block: 50, length: 0, flags: 0x80 }),
    record('BIG;1', { block: 40, length: 100 }),
  ];
  const file = await fileOf(plain(sections), 'big');
  t.same(file.extents, [
    { offset: 30 * sectorBytes, length: 6 * sectorBytes },
    { offset: 40 * sectorBytes, length: 100 },
  ]);
  t.equal(file.size, 6 * sectorBytes + 100);
  t.equal(file.isSectioned, true);
});

t.test('a section belongs to the file of its name, as in Linux', async (t) => {
  const sections = [
    record('A;1', { block: 30, length: sectorBytes, flags: 0x80 }),
    record('B;1', { block: 31, length: 1 }),
  ];
  t.same(await paths(plain(sections)), ['b']);
  t.equal((await fileOf(plain(sections), 'b')).size, 1);
});

t.test('a file whose last section is missing is not shown', async (t) => {
  t.same(await paths(plain([record('A;1'), record('B;1', { block: 30, length: sectorBytes, flags: 0x80 })])), ['a']);
});

t.test('100 sections are read and 101 are not', async (t) => {
  const sections = (count: number) =>
    Array.from({ length: count }, (_, index) =>
      record('A;1', { block: 30 + (index % 2), length: sectorBytes, flags: index < count - 1 ? 0x80 : 0 }),
    );
  t.equal((await fileOf(plain(sections(100)), 'a')).size, 100 * sectorBytes);
  t.same(await paths(plain([...sections(101), record('B;1')])), ['b']);
});

t.test('a file that leaves the ISO is not shown, the others are', async (t) => {
  const bad = [
    record('LONG;1', { block: 99, length: sectorBytes + 1 }),
    record('FAR;1', { block: 0xffffffff, length: 1 }),
    record('HUGE;1', { block: 30, length: 0xffffffff }),
    record('TAIL;1', { block: 30, length: sectorBytes, flags: 0x80 }),
    record('TAIL;1', { block: 100, length: 1 }),
  ];
  t.same(await paths(plain([...bad, record('LAST;1', { block: 99, length: sectorBytes })])), ['last']);
});

t.test('a file may lie where another one or the descriptors do', async (t) => {
  const records = [record('A;1', { block: 0, length: 20 * sectorBytes }), record('B;1', { block: 0, length: 1 })];
  t.same(await paths(plain(records)), ['a', 'b']);
});

t.test('hidden files are shown, associated ones are not, interleaved ones are empty', async (t) => {
  const records = [
    record('HIDDEN;1', { flags: 1 }),
    record('ASSOC;1', { flags: 4 }),
    record('WOVEN;1', { block: 30, length: 5, gap: 1 }),
  ];
  t.same(await paths(plain(records)), ['hidden', 'woven']);
  t.match(await fileOf(plain(records), 'woven'), { size: 0, extents: [] });
});

t.test('of two entries with one name the first is shown', async (t) => {
  const records = [record('A;1', { block: 30, length: 1 }), record('A.;1', { block: 30, length: 2 }), record('a;1')];
  t.same(await paths(plain(records)), ['a']);
  t.equal((await fileOf(plain(records), 'a')).size, 1);
});

t.test('names that no path can hold are not shown', async (t) => {
  const bad = ['.', '..', 'a/b', '/', 'a\nb', 'a\rb', '\u001b[2J', '\u007f'].map((name) => named(name));
  t.same(await rootOf([...bad, named('good')]), ['good']);
});

t.test('odd names are shown as they are', async (t) => {
  const names = ['a\\b', '%2e%2e', '-rf', ' a ', '...', 'é', 'e\u0301', 'A', 'a', 'x;1', '\u{1f600}', 'n'.repeat(200)];
  t.same(await rootOf(names.map((name) => named(name))), names.map((name) => name).sort());
});

t.test('names that no path can hold are not shown in any view', async (t) => {
  const bad = ['', '.', '..', '\0', '\0a', '../x', '/', 'a\nb', '\u001b[2J', '\u007f'];
  const plainNames = [...bad, '.;1', '..;1', ';1', '/;1', ';;', '//', 'OK.;1', '..OK;1', 'A/../B;1'];
  t.same(await paths(plain(plainNames.map((name) => record(name)))), ['..ok', '...x', 'a....b', 'ok'].sort());
  const jolietNames = [...bad, '...', '.;1', '..;1', '..;1.', 'ok', '..ok', '..\\..\\x', '\ud83d', 'C:\\x'];
  const shown = await paths(withJoliet(jolietNames.map((name) => record(ucs2(name)))));
  t.same(shown, ['..;1', '..\\..\\x', '..ok', 'C:\\x', 'ok']);
});

t.test('names that mean something to a program are names', async (t) => {
  const names = ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'a:b', 'con', '~', '*', '$(id)', "'", '<b>'];
  t.same(await rootOf(names.map((name) => named(name))), [...names].sort());
});

t.test('a name that is no UTF-8 can be reached too', async (t) => {
  t.same(await rootOf([named(Buffer.from([0x66, 0xfc, 0x72])), named(Buffer.from([0xff]))]), ['für', 'ÿ']);
});

t.test('Rock Ridge decides what an entry is', async (t) => {
  const types: [name: string, mode: number][] = [
    ['file', 0o100000],
    ['secret', 0o100600],
    ['pipe', 0o010644],
    ['char', 0o020644],
    ['block', 0o060644],
    ['socket', 0o140644],
    ['unknown', 0o644],
    ['nonsense', 0o170000],
    ['folder', 0o040755],
  ];
  const shown = await rootOf(types.map(([name, mode]) => named(name, field.px(mode))));
  t.same(shown, ['file', 'folder/', 'nonsense', 'secret', 'unknown']);
});

t.test('a folder is one by its record, whatever Rock Ridge says', async (t) => {
  const fill = (builder: IsoBuilder) => builder.folder(40, [record('F;1')]);
  const systemUse = Buffer.concat([field.nm('dir'), field.px(0o100644)]);
  t.same(await rootOf([folderRecord('X', 40, sectorBytes, { systemUse })], fill), ['dir/', 'dir/f']);
});

t.test('a link has the target that is stored', async (t) => {
  const links = [
    named('up', linkFields('../..')),
    named('abs', linkFields('/etc/passwd')),
    named('no type', field.sl([[0, 'a']])),
    named('no target', field.px(0o120777)),
    named('open', field.px(0o120777), field.sl([[1, 'a']])),
    named('forged', linkFields('a\nb')),
    named('is a file', field.px(0o100644), field.sl([[0, 'a']])),
  ];
  t.same(await rootOf(links), ['abs -> /etc/passwd', 'is a file', 'no type -> a', 'up -> ../..']);
});

t.test('the Rock Ridge time is taken before that of the record', async (t) => {
  const time = Buffer.from([70, 1, 1, 0, 0, 0, 0]);
  t.equal((await fileOf(rockRidge([named('a', field.tf(2, time))]), 'a')).modified, 0);
  t.equal((await fileOf(rockRidge([named('a', field.tf(2, Buffer.alloc(7)))]), 'a')).modified, recordedDate.getTime());
});

t.test('a long name goes on in a continuation area', async (t) => {
  const areas = (builder: IsoBuilder) => builder.put(40, Buffer.concat([Buffer.alloc(100), field.nm('b'.repeat(150))]));
  const systemUse = Buffer.concat([field.nm('a'.repeat(100), 1), field.ce(40, 100, 155)]);
  t.same(await rootOf([record('X;1', { systemUse })], areas), ['a'.repeat(100) + 'b'.repeat(150)]);
});

t.test('an entry with a broken continuation is not shown, the others are', async (t) => {
  const areas = (builder: IsoBuilder) => builder.put(40, field.ce(40, 0, 28));
  const bad = [field.ce(40, 0, 28), field.ce(40, 2040, 20), field.ce(100, 0, 4), field.ce(0xffffffff, 0, 4)];
  t.same(await rootOf([...bad.map((ce, index) => named(`bad${index}`, ce)), named('good')], areas), ['good']);
});

t.test('a folder that is its own ancestor is not shown', async (t) => {
  const fill = (builder: IsoBuilder) => {
    builder.folder(40, [folderRecord('SELF', 40), folderRecord('ROOT', ROOT), folderRecord('B', 41), record('F;1')]);
    builder.folder(41, [folderRecord('A', 40), record('G;1')]);
  };
  t.same(await paths(plain([folderRecord('A', 40), folderRecord('SELF', ROOT)], fill)), ['a/', 'a/b/', 'a/b/g', 'a/f']);
});

t.test('of two folders of one folder in one place the first is shown', async (t) => {
  const fill = (builder: IsoBuilder) => builder.folder(40, [record('F;1')]);
  t.same(await paths(plain([folderRecord('A', 40), folderRecord('B', 40)], fill)), ['a/', 'a/f']);
});

t.test('a folder that leaves the ISO or is too long is not shown', async (t) => {
  const bad = [
    folderRecord('FAR', 0xffffffff),
    folderRecord('LONG', 99, 2 * sectorBytes),
    folderRecord('HUGE', 30, 0xffffffff),
    folderRecord('PARTS', 30, sectorBytes, { flags: 0x82 }),
    folderRecord('PARTS', 31),
  ];
  t.same(await paths(plain([...bad, folderRecord('EMPTY', 99), folderRecord('NOTHING', 98, 0)])), [
    'empty/',
    'nothing/',
  ]);
});

t.test('a folder that ends inside a sector is read to its end', async (t) => {
  const fill = (builder: IsoBuilder) => builder.folder(40, [record('A;1'), record('B;1')]);
  t.same(await paths(plain([folderRecord('D', 40, 34 + 34 + 36)], fill)), ['d/', 'd/a']);
});

t.test('folders are shown 255 deep', async (t) => {
  const fill = (builder: IsoBuilder) => {
    for (let sector = 100; sector < 500; sector++) builder.folder(sector, [folderRecord('D', sector + 1)]);
    builder.folder(500, []);
  };
  t.equal((await paths(plain([folderRecord('D', 100)], fill))).length, 255);
});

t.test('a relocated folder is shown where it belongs, and the place of its records is empty', async (t) => {
  const fill = (builder: IsoBuilder) => {
    builder.folder(40, [
      folderRecord('DEEP', 41, sectorBytes, { systemUse: Buffer.concat([field.nm('deep'), field.re()]) }),
    ]);
    builder.folder(41, [record('F;1')], field.pl(ROOT));
  };
  const moved = folderRecord('RR_MOVED', 40, sectorBytes, { systemUse: field.nm('rr_moved') });
  const here = record('DEEP', { systemUse: Buffer.concat([field.nm('deep'), field.cl(41)]) });
  t.same(await rootOf([moved, here], fill), ['deep/', 'deep/f', 'rr_moved/']);
});

t.test('a relocation to what is no folder, or to an ancestor, is not shown', async (t) => {
  const relocated = (name: string, block: number, ...more: Buffer[]) =>
    record('X', { systemUse: Buffer.concat([field.nm(name), field.cl(block), ...more]) });
  const fill = (builder: IsoBuilder) => {
    builder.put(40, 'a file').put(41, record(Buffer.from([0]), { block: 41, length: sectorBytes }));
    builder.put(42, folderRecord(Buffer.from([0]), 42, 0xffffffff));
    builder.put(43, folderRecord(Buffer.from([1]), 43));
    builder.folder(44, [relocated('self', 44)]);
  };
  const bad = [ROOT, 40, 41, 42, 43, 100, 0xffffffff].map((block) => relocated(`to${block}`, block));
  t.same(await rootOf([...bad, relocated('both', 44, field.re()), relocated('good', 44)], fill), ['good/']);
});

t.test('System Use fields are found behind what SP says to skip', async (t) => {
  const skipped = Buffer.concat([Buffer.alloc(14, 0xff), field.nm('Name')]);
  const image = rockRidge([record('X;1', { systemUse: skipped })], (builder) => {
    builder.folder(ROOT, [record('X;1', { systemUse: skipped })], Buffer.concat([field.sp(14), field.er()]));
  });
  t.same(await paths(image), ['Name']);
});

t.test('blocks may be 512 or 1024 bytes', async (t) => {
  for (const blockSize of [512, 1024]) {
    const scale = sectorBytes / blockSize;
    const image = rockRidge([], (builder) => {
      const systemUse = Buffer.concat([field.nm('Na', 1), field.ce(40 * scale + 1, 10, 100)]);
      builder.folder(ROOT, [record('X;1', { block: 30 * scale + 1, length: 7, systemUse })], field.sp());
      builder.put(40, Buffer.concat([Buffer.alloc(blockSize + 10), field.nm('me')]));
      builder.put(16, rockRidge([]).subarray(16 * sectorBytes, 17 * sectorBytes));
    });
    image.writeUInt16LE(blockSize, 16 * sectorBytes + 128);
    image.writeUInt32LE(ROOT * scale, 16 * sectorBytes + 158);
    const file = await fileOf(image, 'Name');
    t.same(file.extents, [{ offset: 30 * sectorBytes + blockSize, length: 7 }], `${blockSize}`);
  }
});

/** An image with a Joliet tree whose root, in sector 50, has these records. */
function withJoliet(records: readonly Buffer[], fill: (builder: IsoBuilder) => void = () => undefined): Buffer {
  const image = plain([record('X;1')], (builder) => {
    builder.folder(50, records);
    fill(builder);
  });
  image.copy(image, 17 * sectorBytes, 16 * sectorBytes, 17 * sectorBytes);
  image[17 * sectorBytes] = 2;
  image.write('%/E', 17 * sectorBytes + 88);
  image.writeUInt32LE(50, 17 * sectorBytes + 158);
  return image;
}

t.test('a Joliet folder has its own names', async (t) => {
  const records = [record(ucs2('Read Me.txt;1')), record(ucs2('Dots..')), folderRecord(ucs2('Ünder'), 51)];
  const image = withJoliet(records, (builder) =>
    builder.folder(51, [record(ucs2('\u{1f600}'), { systemUse: field.nm('not looked at') })]),
  );
  t.same(await paths(image), ['Dots', 'Read Me.txt', 'Ünder/', 'Ünder/\u{1f600}']);
});

t.test('a folder of 50,000 entries is read whole', async (t) => {
  const records = Array.from({ length: 50_000 }, (_, index) => named(`file-number-${index}`, field.px(0o100644)));
  const image = plain([], (builder) => {
    const length = builder.folder(200, records);
    builder.folder(ROOT, [folderRecord('BIG', 200, length)]);
  });
  const volume = await openImage(image);
  const big = (await volume.root.children()).get('big');
  if (big?.type !== 'folder') throw new Error('no folder');
  const reading = big.children();
  t.ok((await countTurns(reading)) > 2, 'and others run meanwhile, also when every byte is in memory');
  t.equal((await reading).size, 50_000);
});

t.test('records of many pieces of a folder are one folder', async (t) => {
  // More than one piece of 256 KiB, with a file whose two sections are on both sides of its border.
  const filler = Array.from({ length: 128 * 53 - 2 }, (_, index) => named(`f${String(index).padStart(6, '0')}`));
  const sections = [0x80, 0].map((flags, index) =>
    record('S.;1', { block: 30 + index, length: sectorBytes, flags, systemUse: field.nm('sections') }),
  );
  for (let shift = 0; shift < 110; shift += 10) {
    const image = plain([], (builder) => {
      const length = builder.folder(200, [...filler.slice(shift), ...sections, ...filler.slice(0, shift)]);
      builder.folder(ROOT, [folderRecord('BIG', 200, length)]);
    });
    const big = (await (await openImage(image)).root.children()).get('big');
    const children = big?.type === 'folder' ? await big.children() : new Map<string, IsoFile>();
    t.equal(children.size, filler.length + 1);
    t.match(children.get('sections'), { size: 2 * sectorBytes });
  }
});

t.test('a folder that takes too much work is an error, and the others are served', async (t) => {
  const volume = await openImage(plain(Array.from({ length: 200 }, (_, index) => record(`F${index};1`))));
  await t.rejects(volume.root.children(new Budget(25)), { code: 'BROKEN_ISO' });
  t.equal((await volume.root.children()).size, 200);
});
