/** What happens where the kernel lacks something. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { call, mountsIn } from '../fixtures/child-mounts.js';
import { ask, json } from '../fixtures/client.js';
import { add, folderWith, start } from '../fixtures/vm-service.js';

/** Takes a module out of the kernel for the rest of a test. */
async function without(t: Test, name: string): Promise<void> {
  await call('/run/busybox', 'rmmod', name);
  t.teardown(() => call('/run/busybox', 'insmod', `/run/modules/${name}.ko`));
}

t.test('without udf in the kernel, a disc of Windows is not served as its notice', async (t) => {
  const folder = await folderWith(t, 'ipxe', 'windows');
  if (folder === undefined) return;
  await without(t, 'udf');
  const service = await start(t, folder);
  t.match(await add(service, 'ipxe'), { status: 'OK', driver: 'loop' });
  const record = await add(service, 'windows');
  t.match(record, { status: 'failed', error: /mounted the ISO as iso9660, not its udf tree/ });
  t.equal((await ask(service.south, '/windows/1/readme.txt')).status, 404);
  t.equal((await mountsIn(folder)).length, 1);
  t.equal((await readdir(join(folder, 'mounts'))).length, 1);
});

t.test('without udf in the kernel, the automatic choice reads a disc of Windows itself, and says why', async (t) => {
  const folder = await folderWith(t, 'ipxe', 'windows');
  if (folder === undefined) return;
  await without(t, 'udf');
  const service = await start(t, folder, 'auto');
  t.match(await add(service, 'ipxe'), { status: 'OK', driver: 'loop' });
  t.match(await add(service, 'windows'), { status: 'OK', driver: 'direct', view: 'udf', why: /^loop: .*udf/ });
  t.equal((await ask(service.south, '/windows/1/bootmgr')).text, 'bootmgr');
});

t.test('without loop devices, the service starts, says so, and serves the stores', async (t) => {
  const folder = await folderWith(t, 'ipxe');
  if (folder === undefined) return;
  await without(t, 'loop');
  const service = await start(t, folder);
  t.match(service.log.join(''), /error .*No ISO can be mounted by the driver "loop": .*loop.*\n/);
  t.match(await add(service, 'ipxe'), { status: 'failed', error: /loop/ });
  t.match(json(await ask(service.north, '/status')), { mount: { driver: 'loop', unavailable: /loop/ } });
  t.equal((await ask(service.south, '/iso/ipxe.iso')).status, 200);
  const other = await folderWith(t, 'ipxe');
  if (other === undefined) return;
  t.match(await add(await start(t, other, 'auto'), 'ipxe'), { status: 'OK', driver: 'direct', why: /^loop: / });
});
