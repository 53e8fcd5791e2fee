import { execFileSync } from 'node:child_process';
import { lstat, mkdir, realpath, rename, rm, symlink, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Budget } from '../../lib/iso/budget.js';
import { FolderCache } from '../../lib/iso/cache.js';
import { lookup } from '../../lib/iso/lookup.js';
import { Calls } from '../../lib/mount/calls.js';
import { MountedFolder, type MountedVolume, openMounted } from '../../lib/mount/mounted-folder.js';
import { call, mountFolder, mountStranger, needRoot } from '../fixtures/child-mounts.js';
import { descriptorsBelow, makeFifo } from '../fixtures/folder-setup.js';

/** A folder, taken for a mounted ISO. */
async function volumeOf(folder: string) {
  const point = await realpath(folder);
  const losses: string[] = [];
  const { dev: device } = await lstat(point, { bigint: true });
  const calls = new Calls(60_000, () => losses.push('hangs'));
  const onLost = (why: string) => void losses.push(why);
  const volume: MountedVolume = { point, device, calls, cache: new FolderCache(), onLost };
  return { volume, losses, root: new MountedFolder(volume, undefined, '', '', undefined) };
}

async function setup(t: Test, content: Parameters<Test['testdir']>[0] = {}) {
  const folder = t.testdir({ mnt: content, 'secret.txt': 'secret' });
  return { folder, point: join(folder, 'mnt'), ...(await volumeOf(join(folder, 'mnt'))) };
}

/** What a path leads to: the text of a file, or else the type. */
async function found(
  { volume, root }: Awaited<ReturnType<typeof volumeOf>>,
  path: string,
): Promise<string | undefined> {
  const result = await lookup(root, path.split('/'), 'exact', new Budget());
  if (result?.entry.type !== 'file') return result?.entry.type;
  const { handle } = await openMounted(volume, result.entry);
  const text = await handle.readFile('utf8');
  await handle.close();
  return text;
}

t.test('files, folders and links are shown with their sizes and times', async (t) => {
  const { point, root } = await setup(t, { 'a.txt': 'hello', dir: { 'b.txt': '' } });
  await symlink('a.txt', join(point, 'link'));
  await utimes(join(point, 'a.txt'), 1000, 1000);
  const children = await root.children();
  t.match(children.get('a.txt'), { type: 'file', size: 5, modified: 1_000_000, place: 'a.txt' });
  t.match(children.get('link'), { type: 'link', target: 'a.txt' });
  const dir = children.get('dir');
  t.match(dir, { type: 'folder', path: 'dir', parent: root });
  if (dir?.type !== 'folder') return;
  t.match((await dir.children()).get('b.txt'), { type: 'file', size: 0, place: 'dir/b.txt' });
});

t.test('what our reader would not serve is not shown', async (t) => {
  const { point, root } = await setup(t, { good: '' });
  await makeFifo(join(point, 'fifo'));
  await writeFile(join(point, 'forged\nline'), '');
  await symlink('forged\nline', join(point, 'forged link'));
  // The path of a socket has few bytes.
  const server = createServer();
  const socket = join(await mountFolder(t), 'socket');
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  await rename(socket, join(point, 'socket'));
  t.same([...(await root.children()).keys()], ['good']);
  await new Promise((resolve) => server.close(resolve));
});

t.test('devices are not shown', async (t) => {
  if (!needRoot(t)) return;
  const { point, root } = await setup(t, { good: '' });
  await call('mknod', join(point, 'null'), 'c', '1', '3');
  await call('mknod', join(point, 'loop'), 'b', '7', '0');
  t.same([...(await root.children()).keys()], ['good']);
});

t.test('a name that is no UTF-8 is found under the name that our reader gives it', async (t) => {
  const { point, root, volume, losses } = await setup(t);
  // Only a shell passes on bytes that are no text.
  execFileSync('/bin/sh', [
    '-c',
    `cd "$0" && d=$(printf 'd\\344') && mkdir "$d" && echo hi > "$d/$(printf 'f\\374\\342')"`,
    point,
  ]);
  t.equal(await found({ volume, root, losses }, 'd\u00e4/f\u00fc\u00e2'), 'hi\n');
});

t.test(
  'no link leads to the host: absolute ones begin at the root of the image, and nothing is above that',
  async (t) => {
    const content = { 'in.txt': 'inside', etc: { passwd: 'of the image' }, a: { b: { 'c.txt': 'c' } } };
    const { folder, point, ...mounted } = await setup(t, content);
    const targets: Record<string, string> = {
      abs: '/etc/passwd',
      'to host': join(folder, 'secret.txt'),
      up: '../secret.txt',
      'far up': '../../../../../../../../../../etc/passwd',
      'to itself': 'to itself',
      'to proc': '/proc/self/environ',
      'a/b/out': '../../../secret.txt',
      'a/b/in': '../../in.txt',
      'a/b/root': '/',
      'a/chain': 'b/abs chain',
      'a/b/abs chain': '/abs',
      dir: '..',
    };
    for (const [name, target] of Object.entries(targets)) await symlink(target, join(point, name));
    const expected: Record<string, string | undefined> = {
      abs: 'of the image',
      'to host': undefined,
      up: undefined,
      'far up': 'of the image',
      'to itself': undefined,
      'to proc': undefined,
      'a/b/out': undefined,
      'a/b/in': 'inside',
      'a/b/root': 'folder',
      'a/b/root/in.txt': 'inside',
      'a/b/root/etc/passwd': 'of the image',
      'a/chain': 'of the image',
      'dir/secret.txt': undefined,
      'dir/dir/in.txt': 'inside',
    };
    for (const [path, result] of Object.entries(expected)) t.equal(await found(mounted, path), result, path);
    t.same(mounted.losses, []);
  },
);

t.test('a file that became a link or a FIFO is not opened', async (t) => {
  const { folder, point, root, volume, losses } = await setup(t, { one: '1', two: '2' });
  const children = await root.children();
  await rm(join(point, 'one'));
  await symlink('/etc/passwd', join(point, 'one'));
  await rm(join(point, 'two'));
  await makeFifo(join(point, 'two'));
  for (const name of ['one', 'two']) {
    const entry = children.get(name);
    if (entry?.type !== 'file') throw new TypeError(name);
    await t.rejects(openMounted(volume, entry), { name: 'ServiceError', code: 'BROKEN_ISO' });
  }
  t.same(losses, [], 'the mount is there');
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('a folder on the way that leads out of the mount is noticed', async (t) => {
  const { folder, point, root, volume, losses } = await setup(t, { dir: { file: 'inside' } });
  const result = await lookup(root, ['dir', 'file'], 'exact', new Budget());
  if (result?.entry.type !== 'file') throw new TypeError('no file');
  await mkdir(join(folder, 'outside'));
  await writeFile(join(folder, 'outside', 'file'), 'outside');
  await rename(join(point, 'dir'), join(point, 'old'));
  await symlink(join(folder, 'outside'), join(point, 'dir'));
  await t.rejects(openMounted(volume, result.entry), { code: 'UNAVAILABLE' });
  t.equal(losses.length, 1);
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('a folder is read once: what is mounted read-only stays as it is', async (t) => {
  const { point, root } = await setup(t, { a: '' });
  const [one, two] = await Promise.all([root.children(), root.children()]);
  t.equal(one, two);
  await writeFile(join(point, 'b'), '');
  t.equal(await root.children(), one);
});

t.test('the size is that of the open file', async (t) => {
  const { point, root, volume } = await setup(t, { a: 'hello' });
  const entry = (await root.children()).get('a');
  await truncate(join(point, 'a'), 3);
  if (entry?.type !== 'file') throw new TypeError('no file');
  const { handle, size } = await openMounted(volume, entry);
  t.equal(size, 3);
  await handle.close();
});

t.test('reading folders costs something', async (t) => {
  const { root } = await setup(t, { a: '', b: '' });
  await t.rejects(root.children(new Budget(0)), { code: 'BROKEN_ISO' });
  t.equal((await root.children(new Budget())).size, 2, 'the next one may have more to spend');
});

t.test('a mount that was taken away, or hidden by another one, is lost and not served', async (t) => {
  if (!needRoot(t)) return;
  const point = join(await mountFolder(t), 'mnt');
  await mountStranger(point);
  await mkdir(join(point, 'dir'));
  await writeFile(join(point, 'file'), 'x');
  const { root, volume, losses } = await volumeOf(point);
  const children = await root.children();
  const [dir, file] = [children.get('dir'), children.get('file')];
  if (dir?.type !== 'folder' || file?.type !== 'file') throw new TypeError('not there');
  await mountStranger(point);
  await t.rejects(dir.children(), { code: 'UNAVAILABLE' }, 'another one upon it');
  await call('umount', point);
  await call('umount', point);
  await mkdir(join(point, 'dir'));
  await writeFile(join(point, 'dir', 'of the host'), '');
  await writeFile(join(point, 'file'), 'of the host');
  await t.rejects(dir.children(), { code: 'UNAVAILABLE' });
  await t.rejects(openMounted(volume, file), { code: 'UNAVAILABLE' });
  await rm(join(point, 'dir'), { recursive: true });
  await rm(join(point, 'file'));
  await t.rejects(dir.children(), { code: 'UNAVAILABLE' });
  await t.rejects(openMounted(volume, file), { code: 'UNAVAILABLE' });
  t.equal(losses.length, 5);
  t.equal(await descriptorsBelow(point), 0);
});
