import { lstat, open, readdir, readFile, readlink, symlink, truncate } from 'node:fs/promises';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { startProcess } from '../fixtures/process.js';
import { needs, settledImage, sha256, plant } from '../fixtures/e2e-tools.js';
import { extract, genisoimage, realIsos, reportSections, sparseXorrisofs, xorrisofs } from '../fixtures/iso-tools.js';
import { Random } from '../fixtures/random.js';
import { temporaryFolder } from '../fixtures/service.js';

/** What is at each path: `folder`, `-> target`, or a file's size and SHA-256. */
type Contents = Record<string, string>;

interface Listed {
  readonly name: string;
  readonly type: string;
  readonly size: number;
  readonly link?: string;
}

const asUrl = (path: string) => path.split('/').map(encodeURIComponent).join('/');

/** Everything that is served below a folder; `url` ends with a slash. */
async function servedBelow(south: string, url: string, path = '', found: Contents = {}): Promise<Contents> {
  const listing = await ask(south, url + asUrl(path), { headers: { Accept: 'application/json' } });
  for (const { name, type, size, link } of json(listing) as Listed[]) {
    const here = path + name;
    if (link !== undefined) found[here] = `-> ${link}`;
    else if (type === 'folder') {
      found[here] = 'folder';
      await servedBelow(south, url, `${here}/`, found);
    } else {
      const { body, headers } = await ask(south, url + asUrl(here));
      if (size !== body.length) throw new Error(`${here} is listed with ${size} bytes and has ${body.length}`);
      found[here] = `${headers['content-length'] ?? 'unknown'} ${sha256(body)}`;
    }
  }
  return found;
}

async function unpackedBelow(folder: string, path = '', found: Contents = {}): Promise<Contents> {
  for (const name of await readdir(join(folder, path))) {
    const here = path + name;
    const stats = await lstat(join(folder, here));
    if (stats.isSymbolicLink()) found[here] = `-> ${await readlink(join(folder, here))}`;
    else if (stats.isDirectory()) {
      found[here] = 'folder';
      await unpackedBelow(folder, `${here}/`, found);
    } else {
      found[here] = `${stats.size} ${sha256(await readFile(join(folder, here)))}`;
    }
  }
  return found;
}

/** Plain names as the kernel shows them: in lower case, without version. */
function asKernel(contents: Contents): Contents {
  const shown = (path: string) => path.toLowerCase().replace(/\.?;1$/, '');
  return Object.fromEntries(Object.entries(contents).map(([path, what]) => [shown(path), what]));
}

/** Asks for pieces of files and compares them with the files that another program unpacked. */
async function compareRanges(t: Test, south: string, url: string, folder: string, files: readonly string[]) {
  const random = new Random(1);
  for (let round = 0; round < 40; round++) {
    const served = files[random.below(files.length)] ?? '';
    const bytes = await readFile(join(folder, served));
    if (bytes.length === 0) continue;
    const start = random.below(bytes.length);
    const end = Math.min(bytes.length - 1, start + random.below(300_000));
    const answer = await ask(south, url + asUrl(served), { headers: { Range: `bytes=${start}-${end}` } });
    if (answer.status !== 206 || !answer.body.equals(bytes.subarray(start, end + 1))) {
      t.fail(`${served} from ${start} to ${end}`);
    }
  }
}

/** Where the root of an ISO is served. */
interface Served {
  readonly south: string;
  readonly url: string;
}

/** Serves an ISO where it lies. */
async function served(t: Test, folder: string, iso: string): Promise<Served> {
  const { north, south } = await startProcess(t, folder);
  const path = `/images?name=disc&version=1&isolocal=${encodeURIComponent(iso)}`;
  await ask(north, path, { method: 'PUT' });
  t.match(await settledImage(north, 'disc'), { status: 'OK' });
  return { south, url: '/disc/1/' };
}

async function compare(t: Test, folder: string, iso: string, isPlain = false): Promise<Contents> {
  return compareServed(t, await served(t, folder, iso), folder, iso, isPlain);
}

async function compareServed(
  t: Test,
  { south, url }: Served,
  folder: string,
  iso: string,
  isPlain = false,
): Promise<Contents> {
  const unpacked = join(folder, 'unpacked');
  await extract(iso, unpacked);
  const contents = await servedBelow(south, url);
  const expected = await unpackedBelow(unpacked);
  t.same(contents, isPlain ? asKernel(expected) : expected);
  const files = Object.keys(expected).filter((path) => /^\d/.test(expected[path] ?? ''));
  t.ok(files.length > 0, `${files.length} files are compared`);
  await compareRanges(t, south, url, unpacked, files);
  return contents;
}

for (const iso of realIsos) {
  t.test(`${basename(iso)} is served as xorriso unpacks it`, await needs('xorriso', iso), async (t) => {
    await compare(t, await temporaryFolder(t), iso);
  });
}

const withTools = await needs('xorriso', 'genisoimage');

/** A disc's folder with every kind of name that its format can carry. */
async function disc(folder: string, isPlain = false): Promise<string> {
  const source = join(folder, 'disc');
  const random = new Random(2);
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random.below(256)));
  await plant(source, {
    'readme.txt': 'text',
    empty: '',
    'one/two/three/file.bin': bytes(70_000),
    'one/sector.bin': bytes(2048),
    'boot/kernel': bytes(200_001),
  });
  if (isPlain) return source;
  await plant(source, {
    '.treeinfo': 'hidden',
    'Mixed Case and spaces.txt': 'a',
    'ünïcode-名前.txt': 'b',
    'a#b?c%20d&e+f.txt': 'c',
    [`${sha256('x')}-primary.sqlite`]: 'd',
    'many.dots.in.a.name.tar.gz': 'e',
  });
  return source;
}

t.test('a disc with Rock Ridge is served as xorriso unpacks it', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const iso = join(folder, 'a.iso');
  await xorrisofs(iso, await disc(folder), '-r');
  await compare(t, folder, iso);
});

t.test('a disc with Joliet alone is served as xorriso unpacks it', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const iso = join(folder, 'a.iso');
  await genisoimage(iso, await disc(folder), '-J', '-joliet-long');
  await compare(t, folder, iso);
});

t.test('a disc with plain names is served with them in lower case', withTools, async (t) => {
  for (const level of ['1', '3']) {
    const folder = await temporaryFolder(t);
    const iso = join(folder, 'a.iso');
    await genisoimage(iso, await disc(folder, true), '-iso-level', level);
    t.hasProps(await compare(t, folder, iso, true), ['readme.txt', 'one/two/three/file.bin', 'boot/kernel']);
  }
});

t.test('a disc that has all three kinds of names is served with those of Rock Ridge', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const iso = join(folder, 'a.iso');
  await genisoimage(iso, await disc(folder), '-R', '-J', '-iso-level', '3');
  t.hasProps(await compare(t, folder, iso), [`${sha256('x')}-primary.sqlite`, 'Mixed Case and spaces.txt']);
});

t.test('folders deeper than ISO 9660 allows are where they belong', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const deep = Array.from({ length: 12 }, (_, depth) => `level${depth}`).join('/');
  await plant(join(folder, 'disc'), { [`${deep}/file`]: 'deep', 'level0/level1/file': 'less deep' });
  // genisoimage moves what is too deep to a folder of the root, and records where it was; xorriso leaves that folder out.
  const iso = join(folder, 'a.iso');
  await genisoimage(iso, join(folder, 'disc'), '-R');
  const { south, url } = await served(t, folder, iso);
  const unpacked = join(folder, 'unpacked');
  await extract(iso, unpacked);
  const { rr_moved: moved, ...contents } = await servedBelow(south, url);
  t.ok(moved === undefined || moved === 'folder');
  const { rr_moved: unpackedMoved, ...expected } = await unpackedBelow(unpacked);
  t.ok(unpackedMoved === undefined || unpackedMoved === 'folder');
  t.same(contents, expected);
  t.equal((await ask(south, `${url}${deep}/file`)).text, 'deep');
});

t.test('links are listed as they are, and followed inside the disc only', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  await plant(join(folder, 'disc'), { 'dists/trusty/Release': 'Suite: trusty', 'pool/file': 'file' });
  for (const [name, target] of [
    ['ubuntu', '.'],
    ['dists/stable', 'trusty'],
    ['dists/up', '../pool'],
    ['absolute', '/pool/file'],
    ['chain', 'dists/stable/Release'],
    ['nowhere', 'missing/file'],
    ['loop', 'loop'],
    ['escape', '../../../../../../etc/passwd'],
    ['out', '/etc/passwd'],
  ] as const) {
    await symlink(target, join(folder, 'disc', name));
  }
  const iso = join(folder, 'a.iso');
  await xorrisofs(iso, join(folder, 'disc'), '-r');
  const disc = await served(t, folder, iso);
  t.match(await compareServed(t, disc, folder, iso), { ubuntu: '-> .', 'dists/up': '-> ../pool', loop: '-> loop' });
  const { south, url } = disc;
  const text = async (path: string) => (await ask(south, url + path)).text;
  t.equal(await text('ubuntu/ubuntu/dists/stable/Release'), 'Suite: trusty');
  t.equal(await text('dists/up/file'), 'file');
  t.equal(await text('absolute'), 'file');
  t.equal(await text('chain'), 'Suite: trusty');
  for (const path of ['nowhere', 'loop', 'escape', 'out', 'loop/x']) {
    t.equal((await ask(south, url + path)).status, 404, path);
  }
});

t.test('a file of more than 4 GiB is served from its first byte to its last', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const size = 2 ** 32 + 3_000_000;
  await plant(join(folder, 'disc'), { 'big.img': '' });
  await truncate(join(folder, 'disc/big.img'), size);
  const iso = join(folder, 'a.iso');
  await sparseXorrisofs(iso, join(folder, 'disc'), size + 2 ** 21, '-r', '-iso-level', '3');
  const sections = await reportSections(iso);
  t.ok(sections.length > 1, 'ISO 9660 takes more than one piece for such a file');
  const handle = await open(iso, 'r+');
  t.teardown(() => handle.close());
  const sectionEnd = sections[0]?.length ?? 0;
  const first = sections[0]?.offset ?? 0;
  // xorriso lays the pieces one behind the other, so that a place in the file is one in the .iso.
  t.equal(sections[1]?.offset, first + sectionEnd);
  const places = [0, 2 ** 31 - 3, sectionEnd - 4, 2 ** 32 - 4, size - 8];
  for (const place of places) await handle.write(`at ${place % 100_000}`.slice(0, 8), first + place);
  const { south, url } = await served(t, folder, iso);
  const head = await ask(south, `${url}big.img`, { method: 'HEAD' });
  t.equal(head.headers['content-length'], String(size));
  for (const place of places) {
    const start = Math.max(0, place - 50_000);
    const end = Math.min(place + 50_000, size - 1);
    const expected = Buffer.alloc(end - start + 1);
    await handle.read(expected, 0, expected.length, first + start);
    const { body, headers } = await ask(south, `${url}big.img`, { headers: { Range: `bytes=${start}-${end}` } });
    t.equal(headers['content-range'], `bytes ${start}-${end}/${size}`);
    t.ok(body.equals(expected) && body.includes('at '), `from ${start}`);
  }
});
