import t from 'tap';
import type { IsoEntry } from '../../lib/iso/entries.js';
import { holdsOnlyUdf } from '../../lib/iso/notice.js';
import { IsoBuilder, record } from '../fixtures/iso-builder.js';
import { openImage, readerOf } from '../fixtures/iso-volume.js';

const small = 900_000;
const large = 5_000_000_000;

function file(text: string): IsoEntry {
  const extents = text === '' ? [] : [{ offset: 0, length: text.length }];
  return { type: 'file', extents, size: text.length, modified: undefined };
}

/** Whether a disc of that size is taken for one that has only UDF. */
function judge(entries: Record<string, IsoEntry>, text: string, bytes: number): Promise<boolean> {
  return holdsOnlyUdf(new Map(Object.entries(entries)), readerOf(Buffer.from(text)), bytes);
}

t.test('a notice in place of the files is only UDF', async (t) => {
  const text = 'This disc contains a "UDF" file system and requires an operating system that supports it.';
  t.ok(await judge({ 'readme.txt': file(text) }, text, large));
  t.ok(await judge({ 'README.TXT': file(text) }, text, small), 'however small the disc is');
  t.ok(await judge({ readme: file('Hello') }, 'Hello', large), 'and whatever it says, when the disc holds much more');
  t.ok(await judge({ 'readme.txt': file('') }, '', large));
  t.ok(await judge({}, '', small), 'so is nothing at all');
});

t.test('a bridge with few files is not taken for it', async (t) => {
  t.notOk(await judge({ 'readme.txt': file('Hello') }, 'Hello', small));
  t.notOk(await judge({ 'boot.wim': file('UDF') }, 'UDF', large));
  t.notOk(await judge({ 'readme.txt': file('UDF'), 'a.txt': file('UDF') }, 'UDF', large));
  const long = file('');
  t.notOk(await judge({ 'readme.pdf': { ...long, type: 'file', size: 65_537 } as IsoEntry }, '', large));
  const zisofs = { headerBytes: 16, blockBytes: 32_768, size: 3 };
  const compressed = { ...file('UDF'), type: 'file', extents: [{ offset: 0, length: 4e9 }], zisofs } as IsoEntry;
  t.notOk(await judge({ 'readme.txt': compressed }, 'UDF', large), 'nor one whose text is compressed');
  const children = () => Promise.resolve(new Map<string, IsoEntry>());
  const folder: IsoEntry = {
    type: 'folder',
    path: 'readme',
    modified: undefined,
    parent: undefined,
    children,
    read: children,
  };
  t.notOk(await judge({ readme: folder }, '', large));
});

const root = 25;

function disc(sequence: readonly string[], names: readonly string[]): Buffer {
  const builder = new IsoBuilder();
  builder.folder(
    root,
    names.map((name) => record(name, { block: 30, length: 100 })),
  );
  builder.descriptor({ rootBlock: root }).terminator().put(30, 'See the UDF file system.').put(99, 'end');
  for (const identifier of sequence) builder.recognition(identifier);
  return builder.build();
}

t.test('a disc whose files are in a UDF volume that cannot be read is refused, although it has a readme', async (t) => {
  const refused = { code: 'BROKEN_ISO', message: /UDF/ };
  await t.rejects(openImage(disc(['BEA01', 'NSR02', 'TEA01'], ['README.TXT;1'])), refused);
  const bare = new IsoBuilder();
  for (const identifier of ['BEA01', 'NSR03', 'TEA01']) bare.recognition(identifier);
  await t.rejects(openImage(bare.put(300, 'end').build()), refused, 'without any ISO 9660 descriptor');
});

t.test('a disc whose UDF volume cannot be read is served from ISO 9660, where it has its files', async (t) => {
  t.equal((await openImage(disc(['BEA01', 'NSR02', 'TEA01'], ['README.TXT;1', 'A;1']))).view, 'iso9660');
});

t.test('a disc without UDF may hold nothing but a readme', async (t) => {
  t.equal((await openImage(disc([], ['README.TXT;1']))).view, 'iso9660');
  t.equal((await openImage(disc(['BEA01', 'TEA01'], ['README.TXT;1']))).view, 'iso9660');
});
