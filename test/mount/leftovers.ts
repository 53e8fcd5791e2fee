import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { clearLeftovers, type LeftoverOptions } from '../../lib/mount/leftovers.js';
import { findMount } from '../../lib/mount/mountinfo.js';
import {
  call,
  imageId,
  mountFolder,
  mountsIn,
  mountStranger,
  needFuseiso,
  needRoot,
  patience,
  writeProgram,
} from '../fixtures/child-mounts.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

async function setup(t: Test, more: Partial<LeftoverOptions> = {}) {
  const folder = await mountFolder(t);
  const mountDir = join(folder, 'a b\\mnt');
  await mkdir(mountDir);
  const isOurs = (path: string) => path.startsWith(join(folder, 'isos'));
  await mkdir(join(folder, 'isos'));
  const clear = () => clearLeftovers({ mountDir, isOurs, unmount: patience, ...more });
  return { folder, mountDir, clear };
}

/**
 * Mounts something by a loop device, as the kernel driver of an earlier run did; which file system it is has no
 * influence.
 */
async function mountLoop(t: Test, file: string, point: string): Promise<void> {
  await call('truncate', '-s', '1M', file);
  const device = (await call('losetup', '-r', '-f', '--show', file)).trim();
  t.teardown(() => call('losetup', '-d', device));
  await mkdir(point, { recursive: true });
  await call('mount', '-t', 'tmpfs', '-o', 'size=64k', device, point);
}

/** @returns the process behind the mount */
async function mountFuse(folder: string, point: string): Promise<ChildProcess> {
  const iso = join(folder, 'left.iso');
  await writeFile(iso, smallIso({ a: 'a' }));
  await mkdir(point, { recursive: true });
  const child = spawn('fuseiso', ['-n', iso, point, '-f', '-o', 'ro'], { stdio: 'ignore' });
  await waitFor('the mount', async () => (await findMount(point)) !== undefined);
  return child;
}

async function pointsIn(folder: string): Promise<string[]> {
  return (await mountsIn(folder)).map(({ point }) => point.slice(folder.length + 1)).sort();
}

t.test('where nothing was left there is nothing to do', async (t) => {
  const { clear, mountDir } = await setup(t);
  t.same(await clear(), []);
  t.same(await clearLeftovers({ mountDir: join(mountDir, 'none'), isOurs: () => true }), []);
});

t.test('mounts of our ISOs are taken away, deleted ones too, with their folders', async (t) => {
  if (!needRoot(t)) return;
  const { folder, mountDir, clear } = await setup(t);
  await mountLoop(t, join(folder, 'isos', 'a b.iso'), join(mountDir, imageId));
  await mountLoop(t, join(folder, 'isos', 'deleted'), join(mountDir, `${imageId}.1`));
  await call('rm', join(folder, 'isos', 'deleted'));
  t.same(await clear(), ['2 mounts of an earlier run were taken away']);
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
});

t.test('mounts of fuseiso are taken away, dead ones too', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { folder, mountDir, clear } = await setup(t);
  const point = join(mountDir, `${imageId}.1`);
  await mountFuse(folder, join(mountDir, imageId));
  const dead = await mountFuse(folder, point);
  const ended = once(dead, 'exit');
  dead.kill('SIGKILL');
  await ended;
  await t.rejects(readdir(point));
  t.same(await clear(), ['2 mounts of an earlier run were taken away']);
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
});

t.test('mounts of fuseiso that are called otherwise than ours, or lie deeper, are left alone', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { folder, mountDir, clear } = await setup(t);
  const names = ['backup', `inner/${imageId}`];
  for (const name of names) await mountFuse(folder, join(mountDir, name));
  t.match((await clear()).sort(), [/^backup is left alone: .*fuse.fuseiso/, /^inner\/.* is left alone/]);
  t.same(await pointsIn(mountDir), names);
  t.same(await readdir(join(mountDir, 'backup')), ['a'], 'and it works');
});

t.test('what is not ours is left alone, and said', async (t) => {
  if (!needRoot(t)) return;
  const { folder, mountDir, clear } = await setup(t);
  await mountStranger(join(mountDir, 'stranger'));
  await mountLoop(t, join(folder, 'other.iso'), join(mountDir, 'other'));
  await mountLoop(t, join(folder, 'isos', 'a.iso'), join(folder, 'outside'));
  await mountLoop(t, join(folder, 'isos', 'b.iso'), `${mountDir}-2`);
  const lines = await clear();
  t.match(lines.sort(), [
    /^other is left alone: \/dev\/loop[0-9]+ \(tmpfs\) is not of this service$/,
    /^stranger is left alone: stranger \(tmpfs\) is not of this service$/,
  ]);
  t.same(await pointsIn(folder), ['a b\\mnt-2', 'a b\\mnt/other', 'a b\\mnt/stranger', 'outside']);
});

t.test('mounts upon each other are taken away down to one that is not ours', async (t) => {
  if (!needRoot(t)) return;
  const { folder, mountDir, clear } = await setup(t);
  const point = join(mountDir, 'id');
  await mountStranger(point);
  for (const name of ['a', 'b', 'c']) await mountLoop(t, join(folder, 'isos', name), point);
  t.match(await clear(), ['3 mounts of an earlier run were taken away', /^id is left alone/]);
  t.same(await pointsIn(mountDir), ['id']);
});

t.test('ours under a mount of somebody else stays', async (t) => {
  if (!needRoot(t)) return;
  const { folder, mountDir, clear } = await setup(t);
  const point = join(mountDir, 'id');
  await mountLoop(t, join(folder, 'isos', 'a'), point);
  await call('mount', '-t', 'tmpfs', 'stranger', point);
  t.match(await clear(), [/^id is left alone/]);
  t.same(await pointsIn(mountDir), ['id', 'id']);
});

t.test('mounts inside mounts are taken away from the inside', async (t) => {
  if (!needRoot(t)) return;
  const { folder, mountDir, clear } = await setup(t);
  await mountLoop(t, join(folder, 'isos', 'a'), join(mountDir, 'one'));
  await mountLoop(t, join(folder, 'isos', 'b'), join(mountDir, 'one', 'two'));
  await mountLoop(t, join(folder, 'isos', 'c'), join(mountDir, 'other'));
  await mountStranger(join(mountDir, 'other', 'inside'));
  t.match(await clear(), [
    '2 mounts of an earlier run were taken away',
    /^other\/inside is left alone/,
    'other is left mounted, with what is mounted inside',
  ]);
  t.same(await pointsIn(mountDir), ['other', 'other/inside']);
});

t.test('a mount in use goes out of sight', async (t) => {
  if (!needRoot(t)) return;
  const { folder, mountDir, clear } = await setup(t);
  await mountLoop(t, join(folder, 'isos', 'a'), join(mountDir, 'id'));
  const file = await open(join(mountDir, 'id', 'file'), 'w');
  t.same(await clear(), ['1 mounts of an earlier run were taken away']);
  t.same(await mountsIn(mountDir), []);
  await file.close();
});

t.test('a mount that cannot be taken away is said, and ends nothing', async (t) => {
  if (!needRoot(t)) return;
  const folder = await mountFolder(t);
  const umount = await writeProgram(
    join(folder, 'umount'),
    '[[ ${!#} != */stuck ]] && exec umount "$@"; echo no >&2; exit 1',
  );
  const { folder: here, mountDir, clear } = await setup(t, { unmount: { ...patience, umount } });
  await mountLoop(t, join(here, 'isos', 'a'), join(mountDir, 'stuck'));
  await mountLoop(t, join(here, 'isos', 'b'), join(mountDir, 'other'));
  t.same(await clear(), [
    '1 mounts of an earlier run were taken away',
    'stuck was left by an earlier run and stays: no',
  ]);
});

t.test('umount that does nothing, and says that all is well, does not keep the service from starting', async (t) => {
  if (!needRoot(t)) return;
  const { folder, mountDir, clear } = await setup(t, { unmount: { ...patience, umount: '/bin/true' } });
  await mountLoop(t, join(folder, 'isos', 'a'), join(mountDir, 'id'));
  t.match(await clear(), [/taken away/]);
});

t.test('a folder behind a link is cleared too', async (t) => {
  if (!needRoot(t)) return;
  const { folder, mountDir } = await setup(t);
  await mountLoop(t, join(folder, 'isos', 'a'), join(mountDir, 'id'));
  await symlink(mountDir, join(folder, 'link'));
  const lines = await clearLeftovers({ mountDir: join(folder, 'link'), isOurs: () => true });
  t.same(lines, ['1 mounts of an earlier run were taken away']);
});

t.test('only empty folders with the name of a mount point are removed', async (t) => {
  const { mountDir, clear } = await setup(t);
  const [full, file, link] = [2, 3, 4].map((number) => `${imageId}.${number}`) as [string, string, string];
  for (const name of [imageId, `${imageId}.1`, full, 'data', 'not ours', '.hidden']) await mkdir(join(mountDir, name));
  await writeFile(join(mountDir, full, 'file'), '');
  await writeFile(join(mountDir, file), '');
  await symlink('data', join(mountDir, link));
  t.same(await clear(), []);
  t.same((await readdir(mountDir)).sort(), ['.hidden', full, file, link, 'data', 'not ours']);
});

t.test('a folder for mounts that cannot be read is said', async (t) => {
  const folder = t.testdir({ file: '' });
  const lines = await clearLeftovers({ mountDir: join(folder, 'file'), isOurs: () => true });
  t.match(lines, [/could not be looked for/]);
});
