import { once } from 'node:events';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { kernelHasIso9660, mountFolder, mountsIn, needFuseiso } from '../fixtures/child-mounts.js';
import { ask, json } from '../fixtures/client.js';
import { needFile, realIsos } from '../fixtures/iso-tools.js';
import { startProcess } from '../fixtures/process.js';
import { startTestService } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

const [grub, ipxe] = realIsos;
const patiently = { prefer: 'wait=20' };

interface Record {
  readonly id: string;
  readonly status: string;
  readonly [member: string]: unknown;
}

/** A folder for a service, with two real ISOs in its store. */
async function folderWithIsos(t: Test): Promise<string> {
  const folder = await mountFolder(t);
  await mkdir(join(folder, 'static/iso'), { recursive: true });
  await copyFile(grub, join(folder, 'static/iso/grub.iso'));
  await copyFile(ipxe, join(folder, 'static/iso/ipxe.iso'));
  return folder;
}

async function add(north: string, name: string): Promise<Record> {
  const url = `/images?name=${name}&version=1&isostore=${name}.iso`;
  return json(await ask(north, url, { method: 'PUT', headers: patiently })) as Record;
}

async function needAll(t: Test): Promise<boolean> {
  return (await needFuseiso(t)) && (await needFile(t, grub)) && (await needFile(t, ipxe));
}

t.test('fuseiso serves images under the ids of their records, and the status says so', async (t) => {
  if (!(await needAll(t))) return;
  const folder = await folderWithIsos(t);
  const mount = { driver: 'fuse', dir: join(folder, 'mounts') };
  const direct = await startTestService(t, {}, await folderWithIsos(t));
  const service = await startTestService(t, { mount }, folder);
  const record = await add(service.north, 'grub');
  await add(direct.north, 'grub');
  t.match(record, { status: 'OK', driver: 'fuse', view: 'rockridge' });
  t.same(await readdir(mount.dir), [record.id]);
  const status = json(await ask(service.north, '/status'));
  t.match(status, { mount: { driver: 'fuse', images: [{ id: record.id, name: 'grub', driver: 'fuse' }] } });
  for (const path of ['/grub/1/efi.img', '/GRUB/1/Boot/Grub/grub.cfg', '/grub/1/?format=json', '/grub/1/none']) {
    const [one, other] = [await ask(service.south, path), await ask(direct.south, path)];
    t.equal(one.status, other.status, path);
    t.equal(one.headers['last-modified'], other.headers['last-modified']);
    t.ok(one.body.equals(other.body), 'what nodes get is the same as without fuseiso');
  }
  const deleted = json(await ask(service.north, `/images?id=${record.id}`, { method: 'DELETE' })) as Record;
  t.equal(deleted['unmount'], undefined);
  t.same([await mountsIn(folder), await readdir(mount.dir)], [[], []]);
  t.equal((await ask(service.south, '/grub/1/efi.img')).status, 404);
});

t.test('with the same digest, a file has the same tag whichever driver serves it', async (t) => {
  if (!(await needAll(t))) return;
  const tags: unknown[] = [];
  for (const driver of ['direct', 'fuse']) {
    const folder = await mountFolder(t);
    const service = await startTestService(t, { mount: { driver, dir: join(folder, 'mounts') } }, folder);
    const fetch = `/images?name=ipxe&version=1&isoclient=ipxe.iso`;
    await ask(service.north, fetch, { method: 'PUT', headers: patiently, body: await readFile(ipxe) });
    tags.push((await ask(service.south, '/ipxe/1/isolinux.cfg')).headers.etag);
    await service.service.stop();
    t.same(await mountsIn(folder), [], 'nothing stays mounted when the service has stopped');
  }
  t.match(tags[0], /^"[0-9a-f]{32}-/);
  t.equal(tags[1], tags[0]);
});

t.test('an image that is still read when it is deleted says that its mount goes later', async (t) => {
  if (!(await needAll(t))) return;
  const folder = await folderWithIsos(t);
  // Far more than the buffers of a connection hold.
  const kernel = Buffer.alloc(20_000_000, 'k');
  await writeFile(join(folder, 'static/iso/big.iso'), smallIso({ kernel }));
  const service = await startTestService(t, { mount: { driver: 'fuse', dir: join(folder, 'mounts') } }, folder);
  const { id } = await add(service.north, 'big');
  const [response] = (await once(get(`${service.south}/big/1/kernel`), 'response')) as [IncomingMessage];
  const deleted = json(await ask(service.north, `/images?id=${id}`, { method: 'DELETE' })) as Record;
  t.match(deleted['unmount'], /goes when its last user lets go.*1 open files/);
  t.equal((await ask(service.south, '/big/1/kernel')).status, 404);
  t.ok(Buffer.concat(await response.toArray()).equals(kernel), 'the reader gets the rest');
  await waitFor('the mount to go', async () => (await mountsIn(folder)).length === 0);
});

t.test('after a kill every image is mounted again, and nothing is mounted twice', async (t) => {
  if (!(await needAll(t))) return;
  const folder = await folderWithIsos(t);
  const settings = { mount: { driver: 'fuse', dir: join(folder, 'mounts') } };
  const first = await startProcess(t, folder, settings);
  for (const name of ['grub', 'ipxe']) await add(first.north, name);
  await first.end('SIGKILL');
  const second = await startProcess(t, folder, settings);
  t.equal((await mountsIn(folder)).length, 2);
  t.equal((await ask(second.south, '/ipxe/1/isolinux.cfg')).status, 200);
  t.equal((await second.end('SIGTERM')).code, 0);
  t.same(await mountsIn(folder), []);
});

t.test('the automatic choice says why it is not the kernel, where it is not', async (t) => {
  if (!(await needAll(t))) return;
  const folder = await folderWithIsos(t);
  const service = await startTestService(t, { mount: { driver: 'auto', dir: join(folder, 'mounts') } }, folder);
  const expected = kernelHasIso9660 ? { driver: 'loop' } : { driver: 'direct', why: /^loop: ./ };
  t.match(await add(service.north, 'ipxe'), { status: 'OK', ...expected });
  t.match(json(await ask(service.north, '/status')), { mount: { driver: 'auto', images: [expected] } });
  t.equal((await ask(service.south, '/ipxe/1/isolinux.cfg')).status, 200);
});

t.test('where the kernel cannot mount it, an image fails and says why, and the stores are served', async (t) => {
  if (!(await needAll(t)) || kernelHasIso9660) return;
  const folder = await folderWithIsos(t);
  const service = await startTestService(t, { mount: { driver: 'loop', dir: join(folder, 'mounts') } }, folder);
  const record = await add(service.north, 'ipxe');
  t.equal(record.status, 'failed');
  t.match(record['error'], /^(The kernel did not mount the ISO: .|The mount driver "loop" cannot work: .)/);
  t.notMatch(record['error'], folder, 'without a path of the host');
  t.equal((await ask(service.south, '/iso/ipxe.iso')).status, 200);
});
