import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { call, mountsIn } from '../fixtures/child-mounts.js';
import { ask } from '../fixtures/client.js';
import { smallIso } from '../fixtures/small-iso.js';
import { add, folderWith, kernel, start } from '../fixtures/vm-service.js';
import { waitFor } from '../fixtures/wait.js';

const passwd = await readFile('/etc/passwd', 'utf8');

t.test('an ISO that is replaced or deleted on disk is served as it was', async (t) => {
  const folder = await folderWith(t, 'ipxe', 'big');
  if (folder === undefined) return;
  const service = await start(t, folder);
  await add(service, 'big');
  await rename(join(folder, 'static/iso/ipxe.iso'), join(folder, 'static/iso/big.iso'));
  t.equal((await ask(service.south, '/big/1/small')).text, 'small');
  await rm(join(folder, 'static/iso/big.iso'));
  t.ok((await ask(service.south, '/big/1/kernel')).body.equals(kernel));
});

t.test('a link in an ISO does not lead to the host, though it does so for the kernel', async (t) => {
  const folder = await folderWith(t, 'big');
  if (folder === undefined) return;
  const service = await start(t, folder);
  const { id } = await add(service, 'big');
  t.equal(await readFile(join(folder, 'mounts', id, 'abs'), 'utf8'), passwd);
  for (const name of ['abs', 'out']) t.equal((await ask(service.south, `/big/1/${name}`)).status, 404);
});

t.test('mounts that somebody takes away are made again', async (t) => {
  const folder = await folderWith(t, 'ipxe');
  if (folder === undefined) return;
  const service = await start(t, folder);
  const { id } = await add(service, 'ipxe');
  await call('umount', '--', join(folder, 'mounts', id));
  await waitFor('the mount', async () => (await ask(service.south, '/ipxe/1/isolinux.cfg')).status === 200);
  t.equal((await mountsIn(folder)).length, 1);
});

t.test('as many ISOs are mounted as there are, more than loop devices at the start', async (t) => {
  const folder = await folderWith(t);
  if (folder === undefined) return;
  const service = await start(t, folder);
  const names = Array.from({ length: 20 }, (_, index) => `image${index}`);
  for (const name of names) {
    await writeFile(join(folder, `static/iso/${name}.iso`), smallIso({ name }));
    t.match(await add(service, name), { status: 'OK', driver: 'loop' });
  }
  for (const name of names) t.equal((await ask(service.south, `/${name}/1/name`)).text, name);
  await service.service.stop();
  t.same(await mountsIn(folder), []);
});

t.test('the automatic choice is the kernel, and our reader for what the kernel does not mount', async (t) => {
  const folder = await folderWith(t, 'ipxe', 'windows');
  if (folder === undefined) return;
  const service = await start(t, folder, 'auto');
  t.match(await add(service, 'windows'), { status: 'OK', driver: 'loop', view: 'udf' });
  t.match(await add(service, 'ipxe'), { status: 'OK', driver: 'loop', view: 'rockridge' });
});
