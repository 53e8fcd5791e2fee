import { createHash } from 'node:crypto';
import {
  copyFile,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { sectorBytes } from '../../lib/iso/entries.js';
import { directDriver } from '../../lib/mount/direct.js';
import type { Mount, MountDriver } from '../../lib/mount/mount.js';
import { bytesOf, type Facts, factsOf, list, openFile } from '../fixtures/iso-tree.js';
import {
  extract,
  genisoimage,
  needFile,
  needTools,
  realIsos,
  reportSections,
  type Section,
  sparseXorrisofs,
  xorrisofs,
} from '../fixtures/iso-tools.js';
import { Random } from '../fixtures/random.js';

const drivers: Record<string, MountDriver> = { direct: directDriver };

async function digestOf(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

async function factOnDisk(path: string): Promise<string> {
  const stats = await lstat(path);
  if (stats.isSymbolicLink()) return `link ${await readlink(path)}`;
  if (stats.isFile()) return `file ${stats.size} ${await digestOf(path)}`;
  return stats.isDirectory() ? 'folder' : 'something else';
}

/** Everything below a folder on disk, as `factsOf` says it of a tree. */
async function factsOnDisk(folder: string, prefix = ''): Promise<Facts> {
  const names = await readdir(join(folder, prefix));
  const factsOfEach = names.map(async (name): Promise<Facts> => {
    const path = join(prefix, name);
    const fact = await factOnDisk(join(folder, path));
    return { [path]: fact, ...(fact === 'folder' ? await factsOnDisk(folder, path) : {}) };
  });
  return Object.assign({}, ...(await Promise.all(factsOfEach))) as Facts;
}

/** Makes a file, a folder (a name with a slash at its end) or a link (`name -> target`) on disk. */
async function make(folder: string, entry: string, text: string): Promise<void> {
  const [name = '', target] = entry.split(' -> ');
  const path = join(folder, name);
  await mkdir(entry.endsWith('/') ? path : dirname(path), { recursive: true });
  if (target !== undefined) await symlink(target, path);
  else if (!entry.endsWith('/')) await writeFile(path, text);
}

async function build(folder: string, entries: Readonly<Record<string, string>>): Promise<void> {
  await Promise.all(Object.entries(entries).map(([entry, text]) => make(folder, entry, text)));
}

const usual = {
  'boot/grub/grub.cfg': 'set timeout=5\n',
  'casper/vmlinuz': 'k'.repeat(70_000),
  'casper/initrd.lz': 'i'.repeat(4096),
  'EFI/BOOT/BOOTX64.EFI': 'efi',
  '.disk/info': 'Ubuntu',
  'a name with blanks.txt': 'blanks',
  'empty.txt': '',
  'empty folder/': '',
};

const links = {
  'ubuntu -> .': '',
  'dists/stable -> trusty': '',
  'dists/trusty/Release': 'release',
  'dists/trusty/up -> ../../pool/a.deb': '',
  'dists/trusty/root -> /pool': '',
  'pool/a.deb': 'deb',
  'out -> ../../../etc/passwd': '',
  'broken -> nowhere': '',
  'loop a -> loop b': '',
  'loop b -> loop a': '',
  [`long -> ${'l'.repeat(130)}/${'o'.repeat(130)}`]: '',
  [`wide -> ${'w'.repeat(250)}`]: '',
};

/** genisoimage breaks a target that takes more than two fields; Linux cannot read it then either. */
const longLink = { [`longer -> ${'component/'.repeat(60)}end`]: '' };

const deep = {
  'a/b/c/d/e/f/g/h/i/j/k/bottom.txt': 'bottom',
  'a/b/c/d/e/f/g/h/i/side.txt': 'side',
  'a/b/c/d/e/f/g/other/x/y.txt': 'y',
  'top.txt': 'top',
};

const foreign = {
  'Übersicht/Grüße.txt': 'ü',
  'Übersicht/日本語.txt': 'ja',
  'naïve — “quoted”.txt': 'quotes',
  кириллица: 'ru',
};

/** Plain ISO 9660 names: upper case on the disc. */
const eightThree = { 'BOOT.CFG': 'boot', 'MBOOT.C32': 'c32', README: 'no dot', 'DIR/INNER.TXT': 'inner', EMPTY: '' };

function many(count: number): Record<string, string> {
  return Object.fromEntries(
    Array.from({ length: count }, (_, index) => [`pool/package-number-${index}_1.0_amd64.deb`, String(index)]),
  );
}

interface Case {
  readonly files: Readonly<Record<string, string>>;
  readonly make: (iso: string, folder: string) => Promise<void>;
  readonly view: Mount['view'];
  /** What the reader that we compare with calls otherwise. */
  readonly rename?: (name: string) => string;
}

/** Plain names as Linux shows them. */
function lower(name: string): string {
  return name.toLowerCase().replace(/\.?;1$/, '');
}

const cases: Record<string, Case> = {
  'Rock Ridge by genisoimage': {
    files: { ...usual, ...links },
    make: (iso, folder) => genisoimage(iso, folder, '-R'),
    view: 'rockridge',
  },
  'Rock Ridge by xorriso': {
    files: { ...usual, ...links, ...longLink },
    make: (iso, folder) => xorrisofs(iso, folder, '-r'),
    view: 'rockridge',
  },
  'Rock Ridge and Joliet by genisoimage': {
    files: { ...usual, ...links },
    make: (iso, folder) => genisoimage(iso, folder, '-R', '-J', '-joliet-long'),
    view: 'rockridge',
  },
  'Rock Ridge and Joliet by xorriso': {
    files: { ...usual, ...links },
    make: (iso, folder) => xorrisofs(iso, folder, '-r', '-J', '-joliet-long', '-iso-level', '3'),
    view: 'rockridge',
  },
  'Joliet by genisoimage': {
    files: usual,
    make: (iso, folder) => genisoimage(iso, folder, '-J'),
    view: 'joliet',
  },
  'plain names, level 1': {
    files: eightThree,
    make: (iso, folder) => genisoimage(iso, folder, '-iso-level', '1'),
    view: 'iso9660',
    rename: lower,
  },
  'plain names, level 3': {
    files: { ...eightThree, 'LONGER_NAME_THAN_EIGHT.TEXT': 'long' },
    make: (iso, folder) => genisoimage(iso, folder, '-iso-level', '3'),
    view: 'iso9660',
    rename: lower,
  },
  'a bridge with UDF': {
    files: { ...usual, ...links },
    make: (iso, folder) => genisoimage(iso, folder, '-R', '-J', '-udf'),
    view: 'rockridge',
  },
  'folders that genisoimage relocates': {
    files: deep,
    make: (iso, folder) => genisoimage(iso, folder, '-R'),
    view: 'rockridge',
  },
  'folders that genisoimage leaves deep': {
    files: deep,
    make: (iso, folder) => genisoimage(iso, folder, '-R', '-D'),
    view: 'rockridge',
  },
  'folders that xorriso relocates': {
    files: deep,
    make: (iso, folder) => xorrisofs(iso, folder, '-r', '-rr_reloc_dir', '/moved'),
    view: 'rockridge',
  },
  'names in UTF-8 by genisoimage': {
    files: foreign,
    make: (iso, folder) => genisoimage(iso, folder, '-R', '-input-charset', 'utf-8'),
    view: 'rockridge',
  },
  'names in Joliet': {
    files: foreign,
    make: (iso, folder) => genisoimage(iso, folder, '-J', '-input-charset', 'utf-8'),
    view: 'joliet',
  },
  'a folder of 3,000 files': {
    files: many(3000),
    make: (iso, folder) => xorrisofs(iso, folder, '-r', '-J', '-joliet-long'),
    view: 'rockridge',
  },
};

/** The facts with every path renamed; links and contents stay. */
function renamed(facts: Facts, rename: (name: string) => string): Facts {
  return Object.fromEntries(Object.entries(facts).map(([path, fact]) => [path.split('/').map(rename).join('/'), fact]));
}

/** Mounts an .iso for a test, which comes with a folder of its own. */
async function withMount(t: Test, driver: MountDriver, iso: string): Promise<Mount> {
  const mount = await driver.mount({ path: iso });
  t.teardown(() => mount.unmount());
  return mount;
}

/** Compares a tree with what xorriso takes out of the same .iso: paths, types, sizes, contents and link targets. */
async function compare(t: Test, mount: Mount, iso: string, folder: string, rename = (name: string) => name) {
  const copy = join(folder, 'copy');
  await extract(iso, copy);
  const expected = renamed(await factsOnDisk(copy), rename);
  t.ok(Object.keys(expected).length > 0, 'there is something to compare');
  t.same(await factsOf(mount.tree), expected);
  await rm(copy, { recursive: true });
}

function textAt(mark: number): string {
  return String(mark).padStart(10, '@');
}

/** Writes 10 bytes into an .iso where a file, which has these sections, has its byte `mark`. */
async function writeMark(iso: string, sections: readonly Section[], mark: number): Promise<void> {
  let before = 0;
  for (const { offset, length } of sections) {
    if (mark < before + length) {
      const writing = await open(iso, 'r+');
      await writing.write(textAt(mark), offset + mark - before);
      await writing.close();
      return;
    }
    before += length;
  }
}

async function sourceOf(t: Test, files: Readonly<Record<string, string>>) {
  const folder = t.testdir({});
  const source = join(folder, 'source');
  await build(source, files);
  return { folder, source, iso: join(folder, 'made.iso') };
}

for (const [driverName, driver] of Object.entries(drivers)) {
  for (const path of realIsos) {
    t.test(`${driverName}: ${basename(path)} reads as xorriso reads it`, async (t) => {
      if (!(await needTools(t, 'xorriso')) || !(await needFile(t, path))) return;
      const mount = await withMount(t, driver, path);
      t.equal(mount.view, 'rockridge');
      await compare(t, mount, path, t.testdir({}));
    });
  }

  for (const [name, { files, make, view, rename }] of Object.entries(cases)) {
    t.test(`${driverName}: ${name}`, async (t) => {
      if (!(await needTools(t, 'genisoimage', 'xorriso'))) return;
      const { folder, source, iso } = await sourceOf(t, files);
      await make(iso, source);
      const mount = await withMount(t, driver, iso);
      t.equal(mount.view, view);
      await compare(t, mount, iso, folder, rename);
    });
  }

  t.test(`${driverName}: an upload that was cut off is refused`, async (t) => {
    const path = realIsos[0];
    if (!(await needFile(t, path))) return;
    const cut = join(t.testdir({}), 'cut.iso');
    await copyFile(path, cut);
    await truncate(cut, 3_000_000);
    await t.rejects(driver.mount({ path: cut }), { code: 'TRUNCATED', message: /3000000/ });
  });

  t.test(`${driverName}: a relocated folder leaves its empty place behind, as in Linux`, async (t) => {
    if (!(await needTools(t, 'genisoimage'))) return;
    const { source, iso } = await sourceOf(t, deep);
    await genisoimage(iso, source, '-R');
    const { tree } = await withMount(t, driver, iso);
    t.match((await list(tree)).get('rr_moved'), { type: 'folder' });
    t.equal((await list(tree, 'rr_moved')).size, 0);
  });

  t.test(`${driverName}: links are found by what they lead to`, async (t) => {
    if (!(await needTools(t, 'genisoimage'))) return;
    const { source, iso } = await sourceOf(t, { ...usual, ...links });
    await genisoimage(iso, source, '-R');
    const { tree } = await withMount(t, driver, iso);
    const names = ['dists/stable/Release', 'ubuntu/ubuntu/dists/trusty/Release', 'DISTS/Stable/RELEASE'];
    for (const path of names) {
      const file = await openFile(tree, path, 'any-case');
      t.equal((await bytesOf(file)).toString(), 'release', path);
      await file.close();
    }
  });

  t.test(`${driverName}: a file of more than 4 GiB`, async (t) => {
    if (!(await needTools(t, 'xorriso'))) return;
    const { source, iso } = await sourceOf(t, { 'big.bin': '', 'behind.txt': 'behind' });
    const size = 2 ** 32 + 1_000_001;
    await truncate(join(source, 'big.bin'), size);
    await sparseXorrisofs(iso, source, size + 2_000_000, '-r', '-iso-level', '3');
    const sections = (await reportSections(iso)).filter(({ path }) => path === 'big.bin');
    t.ok(sections.length > 1, 'the file is in several sections');
    const marks = [0, 2 ** 31, 2 ** 32 - 2 * sectorBytes, 2 ** 32 - sectorBytes, 2 ** 32, size - 10];
    for (const mark of marks) await writeMark(iso, sections, mark);

    const { tree } = await withMount(t, driver, iso);
    const file = await openFile(tree, 'big.bin');
    t.equal(file.size, size);
    t.equal((await list(tree)).get('big.bin')?.size, size);
    for (const mark of marks) t.equal((await bytesOf(file, mark, mark + 10)).toString(), textAt(mark), `byte ${mark}`);
    await file.close();
  });

  t.test(`${driverName}: any range of a file is that slice of it`, async (t) => {
    const path = realIsos[0];
    if (!(await needTools(t, 'xorriso')) || !(await needFile(t, path))) return;
    const copy = join(t.testdir({}), 'copy');
    await extract(path, copy);
    const { tree } = await withMount(t, driver, path);
    const random = new Random(1);
    const names = Object.entries(await factsOf(tree)).flatMap(([name, fact]) =>
      fact.startsWith('file') ? [name] : [],
    );
    for (let round = 0; round < 200; round++) {
      const name = names[random.below(names.length)] ?? '';
      const expected = await readFile(join(copy, name));
      const file = await openFile(tree, name);
      const start = random.below(file.size + 1);
      const end = start + random.below(file.size - start + 1);
      const found = await bytesOf(file, start, end);
      if (!found.equals(expected.subarray(start, end))) t.fail(`bytes ${start} to ${end} of ${name}`);
      await file.close();
    }
    t.ok(names.length > 100, 'many files to choose from');
    await rm(copy, { recursive: true });
  });
}
