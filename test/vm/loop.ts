import { once } from 'node:events';
import { open, readdir, rm } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t from 'tap';
import { mountArguments } from '../../lib/mount/loop.js';
import { call, mountsIn, mountStranger } from '../fixtures/child-mounts.js';
import { ask } from '../fixtures/client.js';
import { add, folderWith, kernel, loopDevices, remove, start, startKillable } from '../fixtures/vm-service.js';
import { waitFor } from '../fixtures/wait.js';

t.test('nodes get from the kernel what our reader gives them', async (t) => {
  const [folder, other] = [await folderWith(t, 'grub', 'windows'), await folderWith(t, 'grub', 'windows')];
  if (folder === undefined || other === undefined) return;
  const [loop, direct] = [await start(t, folder), await start(t, other, 'direct')];
  for (const name of ['grub', 'windows']) {
    const view = name === 'windows' ? 'udf' : 'rockridge';
    t.match(await add(loop, name), { status: 'OK', driver: 'loop', view });
    t.match(await add(direct, name), { status: 'OK', driver: 'direct', view });
  }
  const paths = ['/grub/1/efi.img', '/GRUB/1/Boot/Grub/grub.cfg', '/grub/1/boot?format=text', '/grub/1/none'];
  for (const path of [...paths, '/windows/1/sources/boot.wim', '/windows/1/support?format=text']) {
    const headers = { range: 'bytes=100-70000' };
    const [one, two] = [await ask(loop.south, path, { headers }), await ask(direct.south, path, { headers })];
    t.equal(one.status, two.status, path);
    t.ok(one.body.equals(two.body), 'the same bytes');
  }
  await loop.service.stop();
  t.same([await mountsIn(folder), await readdir(join(folder, 'mounts'))], [[], []]);
  await waitFor('the loop devices to be free', async () => (await loopDevices(folder)).length === 0);
});

t.test('after a kill, mounts that were left are taken away and made again', async (t) => {
  const folder = await folderWith(t, 'grub', 'ipxe', 'windows', 'big');
  if (folder === undefined) return;
  const first = await startKillable(t, folder);
  const { id } = await add(first, 'ipxe');
  await add(first, 'windows');
  const gone = await add(first, 'big');
  await first.end('SIGKILL');
  t.equal((await mountsIn(folder)).length, 3, 'they are left');
  // Since then: a mount upon a mount, an ISO that is gone, a reader, and mounts of somebody else.
  const point = join(folder, 'mounts', id);
  await call('mount', ...mountArguments(join(folder, 'static/iso/grub.iso'), point, 'auto'));
  await rm(join(folder, 'static/iso/big.iso'));
  const held = await open(join(folder, 'mounts', gone.id, 'small'));
  await mountStranger(join(folder, 'mounts/stranger'));
  await mountStranger(join(folder, 'mounts', `${id}.1`));

  const second = await startKillable(t, folder);
  const shown = async (path: string) => (await ask(second.south, path)).status;
  await waitFor('the images', async () => (await shown('/ipxe/1/isolinux.cfg')) === 200);
  t.equal(await shown('/windows/1/bootmgr'), 200);
  t.equal(await shown('/big/1/small'), 404);
  const mounts = (await mountsIn(join(folder, 'mounts'))).map(({ source }) => source).sort();
  t.match(mounts, [/^\/dev\/loop/, /^\/dev\/loop/, 'stranger', 'stranger']);
  t.match(second.output(), /warning .*4 mounts of an earlier run were taken away/);
  t.match(second.output(), /warning .*stranger is left alone/);
  t.equal((await held.readFile()).toString(), 'small', 'who reads goes on reading');
  await held.close();
  t.equal((await second.end('SIGTERM')).code, 0);
  t.equal((await mountsIn(folder)).length, 2);
  await waitFor('the loop devices to be free', async () => (await loopDevices(folder)).length === 0);
});

t.test('an image that is read while it is deleted is read to its end, and its mount goes then', async (t) => {
  const folder = await folderWith(t, 'big');
  if (folder === undefined) return;
  const service = await start(t, folder);
  const { id } = await add(service, 'big');
  const [response] = (await once(get(`${service.south}/big/1/kernel`), 'response')) as [IncomingMessage];
  const deleted = await remove(service, id);
  t.match(deleted['unmount'], /goes when its last user lets go.*target is busy.*1 open files/);
  t.equal((await ask(service.south, '/big/1/kernel')).status, 404);
  t.same(await mountsIn(folder), [], 'out of sight');
  t.equal((await loopDevices(folder)).length, 1, 'and still there');
  t.ok(Buffer.concat(await response.toArray()).equals(kernel), 'the reader gets the rest');
  await waitFor('the loop device to be free', async () => (await loopDevices(folder)).length === 0);
});
