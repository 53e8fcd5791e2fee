import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { isPointName, MountPoints } from '../../lib/mount/mount-points.js';
import { imageId, mountFolder, mountStranger, needRoot } from '../fixtures/child-mounts.js';

t.test('a mount point is a new folder with the id of the image', async (t) => {
  const folder = join(t.testdir({}), 'run', 'mnt');
  const points = new MountPoints(folder);
  const path = await points.make(imageId);
  t.equal(path, join(folder, imageId));
  t.same(await readdir(path), []);
  await points.remove(path);
  t.same(await readdir(folder), []);
});

t.test('an id that is no UUID becomes a hash of it', async (t) => {
  const folder = t.testdir({});
  const points = new MountPoints(folder);
  for (const id of ['..', '', 'a/b', '../../etc', 'a', 'a.1', 'ü', imageId.toUpperCase(), `${imageId}\n`]) {
    const path = await points.make(id);
    t.match(path.slice(folder.length), /^\/[0-9a-f]{32}$/, id);
    t.equal(isPointName(path.slice(folder.length + 1)), true);
  }
  t.equal((await readdir(folder)).length, 9, 'each has its own');
});

t.test('what is in the way is left alone', async (t) => {
  const next = `${imageId}.1`;
  for (const content of [{ [imageId]: 'file' }, { [imageId]: { inside: 'text' } }]) {
    const folder = t.testdir(content);
    t.equal(await new MountPoints(folder).make(imageId), join(folder, next));
  }
  const folder = t.testdir({ empty: {} });
  await symlink('empty', join(folder, imageId));
  t.equal(await new MountPoints(folder).make(imageId), join(folder, next));
});

t.test('an empty folder is in the way when it is one that was made here', async (t) => {
  const folder = t.testdir({ [imageId]: {} });
  const points = new MountPoints(folder);
  const path = join(folder, imageId);
  t.equal(await points.make(imageId), path);
  t.equal(await points.make(imageId), `${path}.1`);
  await points.remove(path);
  t.equal(await points.make(imageId), path);
});

t.test('many that are made at once are all different', async (t) => {
  const points = new MountPoints(t.testdir({}));
  const paths = await Promise.all(Array.from({ length: 20 }, () => points.make('id')));
  t.equal(new Set(paths).size, 20);
});

t.test('nothing is ever mounted upon something else', async (t) => {
  if (!needRoot(t)) return;
  const folder = await mountFolder(t);
  await mountStranger(join(folder, imageId));
  t.equal(await new MountPoints(folder).make(imageId), join(folder, `${imageId}.1`));
});

t.test('after a hundred mount points something is wrong, and an error', async (t) => {
  const points = new MountPoints(t.testdir({}));
  for (let count = 0; count < 100; count++) await points.make(imageId);
  await t.rejects(points.make(imageId), { code: 'UNAVAILABLE' });
});

t.test('a folder behind a link has its real path: that is what mountinfo tells', async (t) => {
  const folder = t.testdir({ real: {} });
  await symlink('real', join(folder, 'link'));
  t.equal(await new MountPoints(join(folder, 'link')).make(imageId), join(folder, 'real', imageId));
});

t.test('a folder that cannot be made is an error that does not tell where', async (t) => {
  const folder = t.testdir({ file: '' });
  const error: unknown = await new MountPoints(join(folder, 'file', 'mnt'))
    .make(imageId)
    .catch((error: unknown) => error);
  t.match(error, { name: 'ServiceError', code: 'INTERNAL' });
  t.ok(error instanceof Error && !error.message.includes(folder));
});

t.test('removing one that is gone, or that somebody has filled, is no error', async (t) => {
  const folder = t.testdir({});
  const points = new MountPoints(folder);
  const path = await points.make(imageId);
  await writeFile(join(path, 'x'), '');
  await points.remove(path);
  await points.remove(join(folder, 'none'));
  await mkdir(join(folder, `${imageId}.1`));
  t.equal(await points.make(imageId), join(folder, `${imageId}.1`));
});

t.test('the names of mount points are known again, and those of other folders are not taken for one', (t) => {
  const hash = '0123456789abcdef'.repeat(2);
  for (const name of [imageId, hash, `${imageId}.1`, `${hash}.99`]) t.equal(isPointName(name), true, name);
  const others = ['', '.', '..', 'a', 'data', 'backup-2026', 'lost+found', '1', `${hash}0`, hash.slice(1), `.${hash}`];
  const nearly = [`${imageId}.0`, `${imageId}.100`, `${imageId}.1.2`, `${imageId}\n`, imageId.toUpperCase()];
  for (const name of [...others, ...nearly]) t.equal(isPointName(name), false, name);
  t.end();
});
