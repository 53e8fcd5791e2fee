import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { findMount } from '../../lib/mount/mountinfo.js';
import { unmount } from '../../lib/mount/unmount.js';
import { call, mountFolder, mountStranger, needRoot, patience, writeProgram } from '../fixtures/child-mounts.js';

t.test('what is not mounted is unmounted already', async (t) => {
  t.same(await unmount({ point: t.testdir({}) }, { ...patience, umount: '/none' }), { type: 'clean' });
});

t.test('a mount that nobody uses goes', async (t) => {
  if (!needRoot(t)) return;
  const point = join(await mountFolder(t), '-l a b');
  await mountStranger(point);
  t.same(await unmount({ point }, patience), { type: 'clean' });
  t.equal(await findMount(point), undefined);
});

t.test('a mount in use goes out of sight, and is told to be in use', async (t) => {
  if (!needRoot(t)) return;
  const point = join(await mountFolder(t), 'mnt');
  await mountStranger(point);
  const file = await open(join(point, 'file'), 'w+');
  await file.write('still there');
  t.same(await unmount({ point }, patience), { type: 'lazy', words: 'umount: the mount point: target is busy.' });
  t.equal(await findMount(point), undefined);
  const { buffer, bytesRead } = await file.read({ position: 0 });
  t.equal(buffer.toString('utf8', 0, bytesRead), 'still there');
  await file.close();
});

t.test('of two mounts upon each other the upper one goes', async (t) => {
  if (!needRoot(t)) return;
  const point = join(await mountFolder(t), 'mnt');
  await mountStranger(point);
  await call('mount', '-t', 'tmpfs', 'upper', point);
  t.same(await unmount({ point }, patience), { type: 'clean' });
  t.match(await findMount(point), { source: 'stranger' });
});

t.test('where one mount is meant, another one is not taken away in its place', async (t) => {
  if (!needRoot(t)) return;
  const point = join(await mountFolder(t), 'mnt');
  await mountStranger(point);
  const only = await findMount(point);
  await call('mount', '-t', 'tmpfs', 'upper', point);
  const words = 'another mount is upon it: upper (tmpfs)';
  for (const isDead of [false, true])
    t.same(await unmount({ point, only }, patience, isDead), { type: 'failed', words });
  t.match(await findMount(point), { source: 'upper' });
  await call('umount', '--', point);
  t.same(await unmount({ point, only }, patience), { type: 'clean' });
  await call('mount', '-t', 'tmpfs', 'later', point);
  t.same(await unmount({ point, only }, patience), { type: 'clean' }, 'it has gone');
  t.match(await findMount(point), { source: 'later' });
});

t.test('a mount that cannot be taken away stays, with what umount says', async (t) => {
  if (!needRoot(t)) return;
  const folder = await mountFolder(t);
  const point = join(folder, 'mnt');
  await mountStranger(point);
  const umount = await writeProgram(join(folder, 'umount'), 'echo "umount: ${!#}: not today" >&2; exit 32');
  const words = 'umount: the mount point: not today';
  t.same(await unmount({ point }, { ...patience, umount }), { type: 'failed', words });
  const failed = { type: 'failed', words: 'not installed' };
  t.same(await unmount({ point }, { ...patience, umount: join(folder, 'none') }), failed);
});

t.test('umount that hangs is ended, and tried lazily', async (t) => {
  if (!needRoot(t)) return;
  const folder = await mountFolder(t);
  const point = join(folder, 'mnt');
  await mountStranger(point);
  const script = 'if [[ $1 == -l ]]; then exec umount "$@"; else sleep 1000; fi';
  const umount = await writeProgram(join(folder, 'umount'), script);
  const result = await unmount({ point }, { ...patience, umount, timeout: 2000 });
  t.same(result, { type: 'lazy', words: 'no end in sight: killed' });
  t.equal(await findMount(point), undefined);
});

t.test('a dead mount is not even asked', async (t) => {
  if (!needRoot(t)) return;
  const folder = await mountFolder(t);
  const point = join(folder, 'mnt');
  await mountStranger(point);
  const umount = await writeProgram(join(folder, 'umount'), `echo "$@" >> ${folder}/calls; exec umount "$@"`);
  t.match(await unmount({ point }, { ...patience, umount }, true), { type: 'lazy' });
  t.equal(await readFile(join(folder, 'calls'), 'utf8'), `-l -- ${point}\n`);
});
