import t from 'tap';
import { sectorBytes } from '../../lib/iso/entries.js';
import { openIso, type ViewChoice } from '../../lib/iso/volume.js';
import { field, folderRecord, IsoBuilder, record, rootFields, ucs2 } from '../fixtures/iso-builder.js';
import { openImage, paths, plain, readerOf, ROOT } from '../fixtures/iso-volume.js';

interface Trees {
  /** Fields of the primary root's own record. */
  readonly rootFields?: Buffer;
  readonly primary?: readonly Buffer[];
  readonly joliet?: readonly Buffer[];
}

const file = record('FILE.TXT;1', { systemUse: field.nm('From Rock Ridge') });
const jolietFile = record(ucs2('From Joliet'));

/** A disc with a primary tree and perhaps one of Joliet. */
function disc({ rootFields = Buffer.alloc(0), primary = [file], joliet }: Trees): Buffer {
  const builder = new IsoBuilder().descriptor({ rootBlock: ROOT, label: 'PRIMARY' });
  if (joliet !== undefined) {
    builder.descriptor({
      type: 2,
      rootBlock: 22,
      escape: '%/E',
      label: Buffer.concat([ucs2('Joliet Ü'), ucs2('        ')]),
    });
    builder.folder(22, joliet);
  }
  builder.terminator().folder(ROOT, primary, rootFields);
  return builder.put(99, 'the end').build();
}

async function shown(image: Buffer): Promise<[view: string, ...paths: string[]]> {
  return [(await openImage(image)).view, ...(await paths(image))];
}

t.test('Rock Ridge is shown before Joliet, and Joliet before plain names', async (t) => {
  t.same(await shown(disc({ rootFields, joliet: [jolietFile] })), ['rockridge', 'From Rock Ridge']);
  t.same(await shown(disc({ joliet: [jolietFile] })), ['joliet', 'From Joliet']);
  t.same(await shown(disc({ primary: [record('FILE.TXT;1')] })), ['iso9660', 'file.txt']);
});

t.test('SP without ER does not make Rock Ridge win over Joliet', async (t) => {
  t.same(await shown(disc({ rootFields: field.sp(), joliet: [jolietFile] })), ['joliet', 'From Joliet']);
  t.same(await shown(disc({ rootFields: field.sp() })), ['rockridge', 'From Rock Ridge']);
});

t.test('Rock Ridge names count where nothing declares them', async (t) => {
  t.same(await shown(disc({})), ['iso9660', 'From Rock Ridge']);
});

t.test('any declared extension counts as Rock Ridge', async (t) => {
  t.same(await shown(disc({ rootFields: field.er('SOMETHING'), joliet: [jolietFile] })), [
    'rockridge',
    'From Rock Ridge',
  ]);
});

t.test('Rock Ridge may be declared in a continuation area', async (t) => {
  const image = disc({ rootFields: Buffer.concat([field.sp(), field.ce(40, 0, 200)]), joliet: [jolietFile] });
  field.er().copy(image, 40 * sectorBytes);
  t.same(await shown(image), ['rockridge', 'From Rock Ridge']);
});

t.test('Rock Ridge may be declared behind the fields of CD-ROM XA', async (t) => {
  const xa = Buffer.from('\0\0\0\0\0\0XA\0\0\0\0\0\0', 'latin1');
  const named = record('FILE.TXT;1', { systemUse: Buffer.concat([xa, field.nm('From Rock Ridge')]) });
  const declared = Buffer.concat([xa, field.sp(14), field.er()]);
  t.same(await shown(disc({ rootFields: declared, primary: [named], joliet: [jolietFile] })), [
    'rockridge',
    'From Rock Ridge',
  ]);
});

t.test('an empty Rock Ridge root gives way to Joliet', async (t) => {
  t.same(await shown(disc({ rootFields, primary: [], joliet: [jolietFile] })), ['joliet', 'From Joliet']);
  t.same(await shown(disc({ rootFields, primary: [] })), ['rockridge']);
});

t.test('an unreadable Rock Ridge root gives way to Joliet', async (t) => {
  const image = disc({ rootFields, joliet: [jolietFile] });
  image.writeUInt32LE(0xffffffff, 16 * sectorBytes + 158);
  t.same(await shown(image), ['joliet', 'From Joliet']);
});

t.test('each of the trees can be asked for', async (t) => {
  const image = disc({ rootFields, joliet: [jolietFile] });
  const shownAs = async (view: ViewChoice) => {
    const volume = await openIso(readerOf(image), image.length, { view });
    return [volume.view, ...(await volume.root.children()).keys()];
  };
  t.same(await shownAs('auto'), ['rockridge', 'From Rock Ridge']);
  t.same(await shownAs('rockridge'), ['rockridge', 'From Rock Ridge']);
  t.same(await shownAs('joliet'), ['joliet', 'From Joliet']);
  t.same(await shownAs('iso9660'), ['iso9660', 'file.txt'], 'without what Rock Ridge says');
});

t.test('a tree that the disc has not is refused, and those that it has are named', async (t) => {
  const open = (image: Buffer, view: ViewChoice) => openIso(readerOf(image), image.length, { view });
  const plainDisc = disc({ primary: [record('FILE.TXT;1')] });
  const refused = (message: RegExp) => ({ code: 'UNSUPPORTED_ISO', message });
  await t.rejects(open(plainDisc, 'rockridge'), refused(/no view "rockridge"; it has iso9660$/));
  await t.rejects(open(plainDisc, 'joliet'), refused(/no view "joliet"; it has iso9660$/));
  const both = disc({ rootFields, joliet: [jolietFile] });
  await t.rejects(open(both, 'udf'), refused(/no view "udf"; without view= it shows "rockridge"$/));
  await t.rejects(open(Buffer.alloc(100_000), 'udf'), { code: 'NOT_AN_ISO' });
});

t.test('what one request may have read of an ISO can be set', async (t) => {
  const many = Array.from({ length: 300 }, (_, index) => record(`F${index};1`));
  const image = plain(many);
  const root = async (maxEntries: number) => {
    const volume = await openIso(readerOf(image), image.length, { maxEntries });
    return volume.root.children(volume.newBudget());
  };
  t.equal((await root(300)).size, 300);
  await t.rejects(root(299), { code: 'BROKEN_ISO', message: /mount\.maxEntries allows: 299$/ });
});

t.test('the label is that of the tree that is shown', async (t) => {
  t.equal((await openImage(disc({}))).label, 'PRIMARY');
  t.equal((await openImage(disc({ joliet: [jolietFile] }))).label, 'Joliet Ü');
  const image = disc({});
  image.write('\u001b[2J \0junk', 16 * sectorBytes + 40, 'latin1');
  t.equal((await openImage(image)).label, '[2J', 'without what drives a terminal');
});

t.test('the size of the volume is what its descriptor says', async (t) => {
  const image = disc({});
  image.writeUInt32LE(99, 16 * sectorBytes + 80);
  t.equal((await openImage(image)).bytes, 99 * sectorBytes);
});

t.test('a file that is no ISO is refused', async (t) => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(17 * sectorBytes), Buffer.alloc(300 * sectorBytes, 'CD001')]) {
    await t.rejects(openImage(bytes), { code: 'NOT_AN_ISO' });
  }
});

t.test('block sizes that Linux does not read are refused by name', async (t) => {
  for (const size of [0, 1, 256, 2047, 4096, 65535]) {
    const image = disc({});
    image.writeUInt16LE(size, 16 * sectorBytes + 128);
    await t.rejects(openImage(image), {
      code: 'UNSUPPORTED_ISO',
      message: new RegExp(`${size} bytes.*512, 1024, 2048`),
    });
  }
});

t.test('a root folder that cannot be is refused', async (t) => {
  const broken = (block: number, length: number) => {
    const image = disc({});
    image.writeUInt32LE(block, 16 * sectorBytes + 158);
    image.writeUInt32LE(length, 16 * sectorBytes + 166);
    return openImage(image);
  };
  await t.rejects(broken(0xffffffff, sectorBytes), { code: 'BROKEN_ISO' }, 'behind the end');
  await t.rejects(broken(99, 2 * sectorBytes), { code: 'BROKEN_ISO' }, 'over the end');
  await t.rejects(broken(ROOT, 0), { code: 'BROKEN_ISO' }, 'without length');
  await t.rejects(broken(ROOT, 0xffffffff), { code: 'BROKEN_ISO' }, 'four gigabytes');
});

t.test('of the tree, opening reads only the root', async (t) => {
  const image = plain([folderRecord('D', 140), record('F;1', { block: 141, length: sectorBytes })], (builder) =>
    builder.folder(140, [record('G;1')]),
  );
  const read = readerOf(image);
  const reads: number[] = [];
  const volume = await openIso((offset, length) => {
    reads.push(offset / sectorBytes);
    return read(offset, length);
  }, image.length);
  t.same(reads, [16, ROOT], 'the descriptors, and the start of the root');
  await volume.root.children();
  await volume.root.children();
  t.same(reads, [16, ROOT, ROOT], 'a folder is read when first asked for');
});

t.test('an ISO that shrinks while it is read is an error', async (t) => {
  const image = plain([record('F;1')]);
  const read = readerOf(image);
  const shrunk = openIso(async (offset, length) => (await read(offset, length)).subarray(0, length - 1), image.length);
  await t.rejects(shrunk, { code: 'TRUNCATED' });
});

t.test('a disk that fails is an error', async (t) => {
  const image = plain([record('F;1')]);
  await t.rejects(
    openIso(() => Promise.reject(new Error('EIO')), image.length),
    { message: 'EIO' },
  );
});
