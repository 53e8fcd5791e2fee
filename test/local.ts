import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { isLocal } from '../lib/local.js';
import { temporaryFolder } from './fixtures/service.js';

t.test('what is on a disk of this machine is local, and what a link leads to counts', async (t) => {
  const folder = await temporaryFolder(t);
  t.equal(await isLocal(folder), true);
  t.equal(await isLocal('/'), true);
  await symlink('/proc/self/status', join(folder, 'elsewhere'));
  t.equal(await isLocal(join(folder, 'elsewhere')), false);
});

t.test('what other file systems show is not, and neither is what is not there', async (t) => {
  t.equal(await isLocal('/proc/self'), false);
  t.equal(await isLocal('/no/such/file'), false);
});
