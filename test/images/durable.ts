import { chmod, chown, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { makeFolder, replaceFile, syncFolder, temporaryOf } from '../../lib/images/durable.js';

t.test('a file is created and replaced as a whole, and nothing stays beside it', async (t) => {
  const folder = t.testdir({});
  const file = join(folder, 'a.json');
  await replaceFile(file, 'first');
  t.equal(await readFile(file, 'utf8'), 'first');
  const { ino } = await stat(file);
  await replaceFile(file, 'é');
  t.equal(await readFile(file, 'utf8'), 'é');
  t.not((await stat(file)).ino, ino, 'another file under the same name');
  t.same(await readdir(folder), ['a.json']);
});

t.test('the permissions of an existing file are kept', async (t) => {
  const file = join(t.testdir({ a: 'old' }), 'a');
  for (const mode of [0o600, 0o640, 0o666]) {
    await chmod(file, mode);
    await replaceFile(file, 'new');
    t.equal((await stat(file)).mode & 0o7777, mode);
  }
});

t.test('the owner of an existing file is kept', { skip: process.getuid?.() !== 0 && 'only root' }, async (t) => {
  const file = join(t.testdir({ a: 'old' }), 'a');
  await chown(file, 1234, 4321);
  await replaceFile(file, 'new');
  t.match(await stat(file), { uid: 1234, gid: 4321 });
});

t.test('a full disk leaves the old file and no temporary', async (t) => {
  const folder = t.testdir({ a: 'old' });
  const file = join(folder, 'a');
  await symlink('/dev/full', temporaryOf(file));
  await t.rejects(replaceFile(file, 'new'), { code: 'ENOSPC' });
  t.equal(await readFile(file, 'utf8'), 'old');
  t.same(await readdir(folder), ['a']);
});

t.test('a rename that fails leaves no temporary', async (t) => {
  const folder = t.testdir({});
  await mkdir(join(folder, 'a'));
  await t.rejects(replaceFile(join(folder, 'a'), 'new'), { code: 'EISDIR' });
  t.same(await readdir(folder), ['a']);
});

t.test('a folder that is missing is an error', async (t) => {
  const missing = join(t.testdir({}), 'missing');
  await t.rejects(replaceFile(join(missing, 'a'), 'text'), { code: 'ENOENT' });
  await t.rejects(syncFolder(missing), { code: 'ENOENT' });
});

t.test('a file system without fsync for folders is no error', async (t) => {
  await t.resolves(syncFolder('/proc/self'));
  await t.resolves(syncFolder(t.testdir({})));
});

t.test('missing folders are made, at every depth, and existing ones are fine', async (t) => {
  const folder = t.testdir({ file: '' });
  for (const path of ['a', 'a/b/c', 'a/b/c']) {
    await makeFolder(join(folder, path));
    t.ok((await stat(join(folder, path))).isDirectory());
  }
  await writeFile(join(folder, 'a', 'b', 'c', 'file'), '');
  await t.rejects(makeFolder(join(folder, 'file', 'below')), { code: 'ENOTDIR' });
});
