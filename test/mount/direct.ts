import { closeSync, openSync } from 'node:fs';
import {
  appendFile,
  chmod,
  readFile,
  rename,
  stat,
  symlink,
  truncate,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Mount } from '../../lib/mount/mount.js';
import { directDriver } from '../../lib/mount/direct.js';
import { descriptorsBelow, makeFifo } from '../fixtures/folder-setup.js';
import { field, folderRecord, linkFields, record, recordedDate, rootFields } from '../fixtures/iso-builder.js';
import { bytesOf, findFolder, list, openFile } from '../fixtures/iso-tree.js';
import type { OpenFile } from '../../lib/tree.js';
import { plain, ROOT, rockRidge } from '../fixtures/iso-volume.js';
import { smallIso } from '../fixtures/small-iso.js';
import { compress, compressBlocks, joinBlocks } from '../fixtures/zisofs.js';

function named(name: string, length: number, block: number, ...fields: Buffer[]): Buffer {
  return record('X;1', { block, length, systemUse: Buffer.concat([field.nm(name), ...fields]) });
}

const image = rockRidge([], (builder) => {
  const records = [
    named('Hello.txt', 5, 30),
    named('hello.TXT', 6, 31),
    named('empty', 0, 0),
    named('link', 0, 0, linkFields('Hello.txt')),
    named('link to dir', 0, 0, linkFields('dir')),
    named('broken', 0, 0, linkFields('gone')),
    named('by case', 0, 0, linkFields('EMPTY')),
    named('into', 0, 0, linkFields('dir/inside')),
    folderRecord('X', 40, 2048, { systemUse: field.nm('dir') }),
  ];
  builder.folder(ROOT, records, rootFields);
  builder.folder(40, [named('inside', 7, 32)]);
  builder.put(30, 'hello').put(31, 'HELLO!').put(32, 'inside!');
});

/** An .iso on disk. */
async function store(t: Test, bytes: Buffer = image, name = 'a.iso'): Promise<{ folder: string; path: string }> {
  const folder = t.testdir({});
  const path = join(folder, name);
  await writeFile(path, bytes);
  return { folder, path };
}

/** A mounted .iso, let go at the end of the test. */
async function mounted(t: Test, bytes = image): Promise<{ folder: string; path: string; mount: Mount }> {
  const stored = await store(t, bytes);
  const mount = await directDriver.mount({ id: 'x', path: stored.path });
  t.teardown(() => mount.unmount());
  return { ...stored, mount };
}

t.test('a mounted ISO tells what it is', async (t) => {
  const { mount } = await mounted(t);
  t.match(mount, { view: 'rockridge', label: 'LABEL', bytes: image.length });
});

t.test('a file inside the ISO comes open, with its bytes, size and time', async (t) => {
  const { mount } = await mounted(t);
  const file = await openFile(mount.tree, 'Hello.txt');
  t.equal((await bytesOf(file)).toString(), 'hello');
  t.equal(file.size, 5);
  t.same(file.modified, recordedDate);
  await file.close();
});

t.test('an empty file is served as such', async (t) => {
  const { mount } = await mounted(t);
  const file = await openFile(mount.tree, 'empty');
  t.match(file, { size: 0, extents: [] });
  await file.close();
});

t.test('a folder lists its entries; a link has the type of what it leads to', async (t) => {
  const { mount } = await mounted(t);
  const entries = await list(mount.tree);
  t.same([...entries.keys()].sort(), [
    'Hello.txt',
    'broken',
    'by case',
    'dir',
    'empty',
    'hello.TXT',
    'into',
    'link',
    'link to dir',
  ]);
  t.same(entries.get('Hello.txt'), { name: 'Hello.txt', type: 'file', size: 5, modified: recordedDate });
  t.same(entries.get('dir'), { name: 'dir', type: 'folder', size: 0, modified: recordedDate });
  t.same(entries.get('link'), { name: 'link', type: 'file', size: 5, modified: recordedDate, link: 'Hello.txt' });
  t.match(entries.get('link to dir'), { name: 'link to dir', type: 'folder', size: 0, link: 'dir' });
  t.match(entries.get('broken'), { type: 'link', size: 0, link: 'gone' });
  t.match(entries.get('by case'), { type: 'link', link: 'EMPTY' });
  t.same((await findFolder(mount.tree, 'dir')).modified, recordedDate);
});

t.test('a listing shows a link as it would be found', async (t) => {
  const { mount } = await mounted(t);
  const root = await mount.tree.lookup([], 'any-case');
  const entries = root?.type === 'folder' ? await root.list() : [];
  t.match(
    entries.find(({ name }) => name === 'by case'),
    { type: 'file', link: 'EMPTY' },
  );
});

t.test('names are found exactly first, then in any case if asked for', async (t) => {
  const { mount } = await mounted(t);
  const sizeOf = async (path: string) => {
    const file = await openFile(mount.tree, path, 'any-case');
    await file.close();
    return file.size;
  };
  t.equal(await sizeOf('hello.TXT'), 6);
  t.equal(await sizeOf('HELLO.txt'), 5, 'of two, the first in code-unit order');
  t.equal(await sizeOf('DIR/INSIDE'), 7);
  t.equal(await mount.tree.lookup(['HELLO.txt'], 'exact'), undefined);
});

t.test(
  'a tag stands for the bytes: the same again after a restart, and on every machine with the same digest',
  async (t) => {
    const { path, folder } = await store(t);
    const other = join(folder, 'b.iso');
    await writeFile(other, image);
    await utimes(other, 1, 1);
    const tagOf = async (path: string, name: string, digest?: string) => {
      const mount = await directDriver.mount({ id: 'x', path, digest: () => digest });
      const file = await openFile(mount.tree, name);
      await Promise.all([file.close(), mount.unmount()]);
      return file.tag;
    };
    const tag = await tagOf(path, 'Hello.txt');
    t.match(tag, /^[0-9a-z-]{10,64}$/);
    t.equal(await tagOf(path, 'Hello.txt'), tag);
    t.not(await tagOf(path, 'hello.TXT'), tag, 'another file');
    t.not(await tagOf(path, 'empty'), tag, 'an empty file');
    t.not(await tagOf(other, 'Hello.txt'), tag, 'another file on disk, for all that is known');
    const digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
    t.equal(await tagOf(path, 'Hello.txt', digest), await tagOf(other, 'Hello.txt', digest));
    t.not(await tagOf(path, 'Hello.txt', 'another'), await tagOf(path, 'Hello.txt', digest));
  },
);

t.test('a tag changes when the ISO is written anew', async (t) => {
  const { path } = await store(t);
  const tagNow = async () => {
    const mount = await directDriver.mount({ id: 'x', path });
    const file = await openFile(mount.tree, 'Hello.txt');
    await Promise.all([file.close(), mount.unmount()]);
    return file.tag;
  };
  await utimes(path, 1000, 1000);
  const before = await tagNow();
  await utimes(path, 1000, 1001);
  t.not(await tagNow(), before);
});

t.test('the ISO is open once, however many files are', async (t) => {
  const { folder, mount } = await mounted(t);
  const files = await Promise.all(Array.from({ length: 20 }, () => openFile(mount.tree, 'Hello.txt')));
  t.equal(await descriptorsBelow(folder), 1);
  t.equal(new Set(files.map(({ descriptor }) => descriptor)).size, 1);
  await Promise.all(files.map((file) => file.close()));
  t.equal(await descriptorsBelow(folder), 1);
});

t.test('after unmounting nothing is found, and the ISO is closed with its last open file', async (t) => {
  const { folder, mount } = await mounted(t);
  const root = await findFolder(mount.tree, '');
  const [one, two] = [await openFile(mount.tree, 'Hello.txt'), await openFile(mount.tree, 'dir/inside')];
  await mount.unmount();
  t.equal(await mount.tree.lookup([], 'exact'), undefined);
  t.equal(await mount.tree.lookup(['Hello.txt'], 'any-case'), undefined);
  await t.rejects(root.list(), { code: 'NOT_FOUND' });
  t.equal((await bytesOf(one)).toString(), 'hello', 'a download goes on');
  await one.close();
  await one.close();
  t.equal((await bytesOf(two)).toString(), 'inside!', 'closing twice is closing once');
  t.equal(await descriptorsBelow(folder), 1);
  await two.close();
  t.equal(await descriptorsBelow(folder), 0);
  await mount.unmount();
});

t.test('an ISO that was deleted or replaced goes on being served as it was', async (t) => {
  const { path, mount } = await mounted(t);
  await writeFile(`${path}.new`, Buffer.alloc(image.length));
  await rename(`${path}.new`, path);
  const file = await openFile(mount.tree, 'dir/inside');
  t.equal((await bytesOf(file)).toString(), 'inside!');
  await file.close();
});

t.test('lookups that are under way when the ISO is unmounted find nothing, or a file that stays open', async (t) => {
  const { folder, mount } = await mounted(t);
  const looking = Array.from({ length: 20 }, () => mount.tree.lookup(['dir', 'inside'], 'any-case'));
  const [nodes] = await Promise.all([Promise.all(looking), mount.unmount()]);
  for (const node of nodes) {
    if (node?.type !== 'file') continue;
    t.equal((await bytesOf(node.file)).toString(), 'inside!');
    await node.file.close();
  }
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('what is no ISO is refused, and left closed', async (t) => {
  const { folder, path } = await store(t, Buffer.alloc(100_000));
  const fifo = join(folder, 'fifo');
  await makeFifo(fifo);
  await symlink('loop', join(folder, 'loop'));
  const cases: [path: string, code: string][] = [
    [path, 'NOT_AN_ISO'],
    [folder, 'BAD_REQUEST'],
    [fifo, 'BAD_REQUEST'],
    ['/dev/null', 'BAD_REQUEST'],
    [join(folder, 'none'), 'NOT_FOUND'],
    [join(path, 'none'), 'NOT_FOUND'],
    [join(folder, 'loop'), 'NOT_FOUND'],
  ];
  for (const [path, code] of cases) {
    await t.rejects(directDriver.mount({ id: 'x', path }), { name: 'ServiceError', code }, path.slice(folder.length));
  }
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('no message tells where the ISO is', async (t) => {
  const { folder, path } = await store(t, Buffer.alloc(100_000));
  for (const path_ of [path, folder, join(folder, 'none'), join(folder, 'n'.repeat(300))]) {
    const error: unknown = await directDriver.mount({ id: 'x', path: path_ }).catch((error: unknown) => error);
    t.ok(error instanceof Error && !error.message.includes(folder));
  }
});

t.test('an ISO that is cut off is refused', async (t) => {
  const bytes = Buffer.from(plain([record('A;1', { block: 90, length: 2048 })]));
  bytes.writeUInt32LE(100, 16 * 2048 + 80);
  const { folder, path } = await store(t, bytes.subarray(0, 80 * 2048));
  await t.rejects(directDriver.mount({ id: 'x', path }), { code: 'TRUNCATED' });
  t.equal(await descriptorsBelow(folder), 0);
});

t.test(
  'an ISO that shrinks while it is served is an error, not a wait without end, until it is whole again',
  async (t) => {
    const { path, mount } = await mounted(t);
    const whole = await readFile(path);
    await truncate(path, 39 * 2048);
    await t.rejects(mount.tree.lookup(['dir', 'inside'], 'exact'), { code: 'UNAVAILABLE' });
    await t.rejects(mount.tree.lookup(['dir'], 'exact'), { code: 'UNAVAILABLE' });
    await truncate(path, 10 * 2048);
    await t.rejects(mount.tree.lookup(['Hello.txt'], 'exact'), { code: 'UNAVAILABLE' });
    await writeFile(path, whole);
    const file = await openFile(mount.tree, 'dir/inside');
    await file.close();
  },
);

t.test('an ISO that grows while it is served goes on being served', async (t) => {
  const { path, mount } = await mounted(t);
  const before = await openFile(mount.tree, 'dir/inside');
  await appendFile(path, Buffer.alloc(5000, 'more'));
  t.equal((await bytesOf(before)).toString(), 'inside!');
  const after = await openFile(mount.tree, 'dir/inside');
  t.equal((await bytesOf(after)).toString(), 'inside!');
  t.not(after.tag, before.tag, 'it is another ISO now, for all that is known');
  await Promise.all([before.close(), after.close()]);
});

t.test('an ISO that is copied over in place shows its new files, under other tags', async (t) => {
  const { path, mount } = await mounted(t);
  const before = await openFile(mount.tree, 'Hello.txt');
  await before.close();
  const changed = smallIso({ 'Hello.txt': 'changed', new: 'file' });
  await writeFile(path, changed);
  const after = await openFile(mount.tree, 'Hello.txt');
  await after.close();
  t.not(after.tag, before.tag);
  t.equal(after.size, 'changed'.length);
  t.match(await list(mount.tree), new Map([['new', { type: 'file' }]]));
});

t.test('an ISO that is written over in place, with its size and time set back, is read anew', async (t) => {
  const { path, mount } = await mounted(t);
  await utimes(path, 1000, 1000);
  const before = await openFile(mount.tree, 'Hello.txt');
  await before.close();
  const changed = Buffer.from(image);
  changed.write('HALLO', changed.indexOf('hello'));
  await writeFile(path, changed, { flag: 'r+' });
  await tick(path);
  await utimes(path, 1000, 1000);
  const after = await openFile(mount.tree, 'Hello.txt');
  await after.close();
  t.equal(after.size, before.size);
  t.not(after.tag, before.tag);
  t.not(after.source, before.source);
});

/** Waits until a change of a file has another time than its last one: the kernel's clock ticks every few milliseconds. */
async function tick(path: string): Promise<void> {
  const ctime = async () => (await stat(path, { bigint: true })).ctimeNs;
  const before = await ctime();
  do await chmod(path, 0o644);
  while ((await ctime()) === before);
}

for (const [how, change] of Object.entries({
  renamed: (path: string) => rename(path, `${path}.away`),
  deleted: (path: string) => unlink(path),
  replaced: async (path: string) => {
    await writeFile(`${path}.new`, image);
    await utimes(`${path}.new`, 1000, 1000);
    await rename(`${path}.new`, path);
  },
})) {
  t.test(`the tags of an ISO that is ${how} while it is served stay as they are`, async (t) => {
    const { path, mount } = await mounted(t);
    await utimes(path, 1000, 1000);
    const before = await openFile(mount.tree, 'Hello.txt');
    await tick(path);
    const settled = await openFile(mount.tree, 'Hello.txt');
    await change(path);
    const after = await openFile(mount.tree, 'Hello.txt');
    await Promise.all([before, settled, after].map((file) => file.close()));
    t.not(settled.tag, before.tag, 'a change of the file that may be one of its bytes');
    t.equal(after.tag, settled.tag);
    const stateOf = ({ source }: OpenFile) => source.split(' ').slice(0, 5);
    t.same(stateOf(after), stateOf(settled), 'but for what a file has that has only just changed');
  });
}

t.test('a digest that becomes known while an ISO is served is in its tags from then on', async (t) => {
  const { path } = await store(t);
  const known: { digest?: string } = {};
  const digest = () => known.digest;
  const tagIn = async (mount: Mount) => {
    const file = await openFile(mount.tree, 'Hello.txt');
    await file.close();
    return file.tag;
  };
  const mount = await directDriver.mount({ id: 'x', path, digest });
  const before = await tagIn(mount);
  t.equal(await tagIn(mount), before);
  known.digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  const after = await tagIn(mount);
  t.not(after, before);
  const again = await directDriver.mount({ id: 'x', path, digest });
  t.equal(await tagIn(again), after, 'as after a restart');
  await Promise.all([mount.unmount(), again.unmount()]);
});

t.test('a disk that fails is an error', async (t) => {
  const { folder, mount } = await mounted(t);
  const file = await openFile(mount.tree, 'Hello.txt');
  closeSync(file.descriptor);
  await t.rejects(mount.tree.lookup(['dir', 'inside'], 'exact'), { name: 'ServiceError', code: 'INTERNAL' });
  // What closes the descriptor later must not close somebody else's.
  t.equal(openSync('/dev/null', 'r'), file.descriptor);
  await file.close();
  await mount.unmount();
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('the ISO may be behind a link', async (t) => {
  const { folder, path } = await store(t);
  await symlink(path, join(folder, 'link.iso'));
  const mount = await directDriver.mount({ id: 'x', path: join(folder, 'link.iso') });
  t.equal(mount.label, 'LABEL');
  await mount.unmount();
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('links into more folders than one listing may read are shown as broken', async (t) => {
  // Folders of 60 MiB of padding that begin a sector apart: a sparse file, and work without end.
  const numbers = Array.from({ length: 12 }, (_, index) => index);
  const folders = numbers.map((number) =>
    folderRecord('X', 200 + number, 60 * 2 ** 20, { systemUse: field.nm(`f${number}`) }),
  );
  const cheap = numbers.map((number) => named(`cheap${number}`, 0, 0, linkFields(`f${number}`)));
  const dear = numbers.map((number) => named(`dear${number}`, 0, 0, linkFields(`f${number}/x`)));
  const late = named('late', 0, 0, linkFields('f0'));
  const bytes = rockRidge([...folders, ...cheap, ...dear, late]);
  const { folder, path } = await store(t, bytes);
  await truncate(path, 70 * 2 ** 20);
  const mount = await directDriver.mount({ id: 'x', path });
  const entries = await list(mount.tree);
  t.equal(entries.size, 37, 'every entry is listed');
  for (const number of numbers) t.match(entries.get(`cheap${number}`), { type: 'folder', link: `f${number}` });
  t.match(entries.get('late'), { type: 'link', link: 'f0' }, 'all is spent');
  await mount.unmount();
  t.equal(await descriptorsBelow(folder), 0);
});

const blockBytes = 2 ** 15;
const text = Buffer.from(Array.from({ length: 20_000 }, (_, line) => `line ${line}\n`).join(''));
const zeros = Buffer.alloc(0);

/** An image whose file `packed` is stored in these bytes, with a ZF field of this size. */
function packed(stored: Buffer, size: number, algorithm = 'pz'): Buffer {
  const fields = [field.px(0o100644), field.zf(16, 15, size, algorithm)];
  return rockRidge([], (builder) => {
    builder.folder(ROOT, [named('packed', stored.length, 100, ...fields)], rootFields);
    builder.put(100, stored);
  });
}

async function openPacked(t: Test, stored: Buffer, size: number, algorithm?: string) {
  const { mount, path } = await mounted(t, packed(stored, size, algorithm));
  const file = await openFile(mount.tree, 'packed');
  t.teardown(() => file.close());
  return { file, mount, path };
}

t.test('a compressed file is listed and served decompressed', async (t) => {
  const { file, mount } = await openPacked(t, compress(text, blockBytes), text.length);
  t.equal((await list(mount.tree)).get('packed')?.size, text.length);
  t.equal(file.size, text.length);
  t.ok((await bytesOf(file)).equals(text));
  t.ok((await bytesOf(file, 100_000, 200_000)).equals(text.subarray(100_000, 200_000)));
  t.same(file.extents, [], 'nothing of what is stored is sent by mistake');
});

t.test('a compressed file of version 2 is served as it is stored, and under another tag', async (t) => {
  const stored = compress(text, blockBytes);
  const { file } = await openPacked(t, stored, text.length, 'PZ');
  t.ok((await bytesOf(file)).equals(stored));
  t.not(file.tag, (await openPacked(t, stored, text.length)).file.tag);
});

t.test('what is wrong with a compressed file shows when it is read, and the rest of the ISO is served', async (t) => {
  const blocks = compressBlocks(text, blockBytes);
  const cases: Readonly<Record<string, readonly [stored: Buffer, size: number]>> = {
    'four gigabytes out of 200 bytes': [compress(text, blockBytes).subarray(0, 200), 2 ** 32 - 1],
    'not the start of a compressed file': [joinBlocks(blocks, { start: Buffer.alloc(8) }), text.length],
    'a decreasing table': [joinBlocks(blocks, { pointers: (right) => right.with(1, 0) }), text.length],
    'a pointer past the end': [joinBlocks(blocks, { pointers: (right) => right.with(1, 2 ** 30) }), text.length],
    'nothing stored at all': [Buffer.alloc(0), 5],
  };
  for (const [name, [stored, size]] of Object.entries(cases)) {
    const { file, mount } = await openPacked(t, stored, size);
    t.equal(file.size, size, name);
    await t.rejects(bytesOf(file, 0, 1), { name: 'ServiceError', code: 'BROKEN_ISO' }, name);
    t.equal((await list(mount.tree)).size, 1);
  }
});

t.test('four gigabytes of zeros are served out of half a megabyte', async (t) => {
  const size = 2 ** 32 - 1;
  const stored = joinBlocks(Array.from({ length: Math.ceil(size / blockBytes) }, () => zeros));
  const { file } = await openPacked(t, stored, size);
  t.ok((await bytesOf(file, size - 100_000, size)).equals(Buffer.alloc(100_000)));
});

t.test('a compressed file whose ISO is cut off under it ends with an error', async (t) => {
  const { file, path } = await openPacked(t, compress(text, blockBytes), text.length);
  t.equal((await bytesOf(file, 0, 10)).length, 10);
  await truncate(path, 100 * 2048 + 1000);
  await t.rejects(bytesOf(file), { name: 'ServiceError', code: 'TRUNCATED' });
});

t.test('a compressed file that is open can be read after its ISO is let go', async (t) => {
  const { file, mount } = await openPacked(t, compress(text, blockBytes), text.length);
  await mount.unmount();
  t.ok((await bytesOf(file)).equals(text));
});
