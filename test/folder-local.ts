import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { LocalFolders } from '../lib/folder-local.js';
import { temporaryFolder } from './fixtures/service.js';

t.test('folders of the disk are local, all the way', async (t) => {
  const folders = new LocalFolders();
  const folder = join(await temporaryFolder(t), 'a/b/c');
  await mkdir(folder, { recursive: true });
  t.equal(await folders.has(folder), true);
  t.equal(await folders.has('/'), true);
});

t.test('what other file systems show is not, and neither is what is not there', async (t) => {
  const folders = new LocalFolders();
  t.equal(await folders.has('/proc/self'), false);
  t.equal(await folders.has('/proc/self/no/such/folder'), false);
  t.equal(await folders.has('/no/such/folder'), false);
});
