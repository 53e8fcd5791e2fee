import { chmod, lstat, mkdir, readFile, readdir, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { changeEntries, readEntries, versionOf } from '../../lib/access/auth-file.js';
import { parseEntries } from '../../lib/access/entries.js';
import { lock } from '../../lib/images/lock.js';
import { CountedScrypt, tokenEntry } from '../fixtures/access.js';
import { temporaryFolder } from '../fixtures/service.js';

const { hash } = new CountedScrypt();

t.test('a new file is for its owner alone, and nothing else is left beside it', async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'auth.json');
  const { entry } = await tokenEntry('ci', {}, hash);
  t.equal(await readEntries(file), undefined);
  await changeEntries(file, (entries) => [...entries, entry]);
  t.equal((await stat(file)).mode & 0o777, 0o600);
  t.same(await readdir(folder), ['auth.json']);
  t.same(await readEntries(file), [entry]);
});

t.test('a link to the file stays, and modes are kept', async (t) => {
  const folder = await temporaryFolder(t);
  const { entry } = await tokenEntry('ci', {}, hash);
  await mkdir(join(folder, 'real'));
  await writeFile(join(folder, 'real/auth.json'), '{"entries": []}');
  await chmod(join(folder, 'real/auth.json'), 0o640);
  await symlink('real/auth.json', join(folder, 'auth.json'));
  await changeEntries(join(folder, 'auth.json'), () => [entry]);
  t.ok((await lstat(join(folder, 'auth.json'))).isSymbolicLink());
  t.equal((await stat(join(folder, 'real/auth.json'))).mode & 0o777, 0o640);
  t.same(parseEntries(await readFile(join(folder, 'real/auth.json'), 'utf8')), [entry]);
});

t.test('a change that fails leaves the file as it was', async (t) => {
  const folder = await temporaryFolder(t);
  const file = join(folder, 'auth.json');
  await changeEntries(file, () => []);
  const before = await readFile(file, 'utf8');
  const failing = changeEntries(file, () => {
    throw new Error('not that');
  });
  await t.rejects(failing, { message: 'not that' });
  const release = await lock(file);
  await t.rejects(
    changeEntries(file, () => []),
    { code: 'BUSY', message: /being changed by somebody else/ },
  );
  release();
  t.equal(await readFile(file, 'utf8'), before);
  await writeFile(file, 'broken');
  await t.rejects(
    changeEntries(file, () => []),
    { code: 'BAD_REQUEST', message: /not JSON/ },
  );
  t.equal(await readFile(file, 'utf8'), 'broken', 'also one that is broken: somebody may mend it');
  await t.rejects(
    changeEntries(join(folder, 'none/auth.json'), () => []),
    { code: 'BAD_REQUEST', message: /authFile ".*none\/auth\.json": ENOENT/ },
  );
  await t.rejects(readEntries(folder), { code: 'BAD_REQUEST', message: /EISDIR/ });
});

t.test('a file has another version after every change', async (t) => {
  const file = join(await temporaryFolder(t), 'auth.json');
  const versions = [(await versionOf(file)).version];
  await changeEntries(file, () => []);
  versions.push((await versionOf(file)).version);
  await changeEntries(file, () => []);
  versions.push((await versionOf(file)).version);
  await chmod(file, 0o644);
  const last = await versionOf(file);
  versions.push(last.version);
  t.equal(new Set(versions).size, 4);
  t.equal(last.mode, 0o644);
  t.equal((await versionOf(file)).version, last.version, 'and the same one without a change');
});
