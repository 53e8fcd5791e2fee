import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { startTestService, type TestService } from '../fixtures/service.js';

const winpe = ['bootmgr', 'Boot/BCD=winpe-bcd', 'Boot/boot.sdi=winpe.sdi', 'sources/boot.wim=winpe.wim', 'wimboot'];
const coreos = ['coreos_production_pxe.vmlinuz', 'coreos_production_pxe_image.cpio.gz'];

async function start(t: Test, settings: Readonly<Record<string, unknown>> = {}): Promise<TestService> {
  const service = await startTestService(t, settings);
  for (const item of [...winpe, ...coreos]) {
    const name = item.split('=').at(-1) ?? '';
    const { status } = await ask(service.north, `/microkernel?name=${name}`, {
      method: 'PUT',
      body: `bytes of ${name}`,
    });
    t.equal(status, 200);
  }
  return service;
}

function put({ north }: TestService, place: string, bundle: readonly string[], more = '') {
  const [name = '', version = ''] = place.split('/');
  const path = `/images?name=${name}&version=${version}&bundle=${encodeURIComponent(bundle.join(' '))}${more}`;
  return ask(north, path, { method: 'PUT', headers: { prefer: 'wait=10' } });
}

/** In the main process, and in a worker. */
for (const southboundWorkers of [0, 1]) {
  t.test(`files of the microkernel store make an image, with ${southboundWorkers} workers`, async (t) => {
    const service = await start(t, { southboundWorkers });
    const { north, south } = service;
    const answer = await put(service, 'coreos/1185.5.0', coreos);
    t.equal(answer.status, 201, answer.text);
    t.match(json(answer), { iso: '', view: 'bundle', status: 'OK', os: { family: 'coreos', version: '1185.5.0' } });
    await put(service, 'winpe/10', winpe);
    // What RackHD's scripts fetch.
    const paths = [...coreos.map((name) => `/coreos/1185.5.0/${name}`), '/winpe/10/wimboot', '/winpe/10/Boot/BCD'];
    for (const path of [...paths, '/WinPE/10//boot/bcd', '/winpe/10/Sources/BOOT.WIM']) {
      const { status, text, headers } = await ask(south, path);
      t.match([status, text], [200, /^bytes of /], path);
      t.equal((await ask(south, path, { method: 'HEAD' })).headers['content-length'], headers['content-length']);
    }
    t.equal((await ask(south, '/winpe/10/Boot/BCD', { headers: { range: 'bytes=0-4' } })).text, 'bytes');
    t.match((await ask(south, '/winpe/10/?format=text')).text, /Boot\/\nsources\/\nbootmgr\nwimboot\n/);
    t.match((await ask(south, '/winpe/10/Boot/?format=json')).text, /"BCD"[^]*"boot\.sdi"/);
    t.equal((await ask(south, '/winpe/10/none')).status, 404);
    t.match((await ask(south, '/boot.ipxe?image=winpe/10')).text, `kernel ${south}/winpe/10/wimboot || goto failed`);
    t.equal((await ask(north, '/images?name=winpe&version=10', { method: 'DELETE' })).status, 200);
    t.equal((await ask(south, '/winpe/10/wimboot')).status, 404);
    const again = await service.restart();
    t.equal((await ask(again.south, `/coreos/1185.5.0/${coreos[0] ?? ''}`)).status, 200);
    t.match((await ask(again.south, '/boot.ipxe?image=coreos/1185.5.0')).text, 'coreos.first_boot=1');
  });
}

t.test('a file of a bundle is not deleted while the image is there; a replaced one is served anew', async (t) => {
  const service = await start(t);
  await put(service, 'winpe/10', winpe);
  const { north, south } = service;
  const refused = await ask(north, '/microkernel?name=winpe-bcd', { method: 'DELETE' });
  t.match([refused.status, refused.text], [409, /winpe-bcd is in use by winpe 10; delete that first/]);
  await ask(north, '/microkernel?name=winpe-bcd', { method: 'PUT', body: 'new' });
  t.equal((await ask(south, '/winpe/10/boot/bcd')).text, 'new');
  await ask(north, '/images?name=winpe&version=10', { method: 'DELETE' });
  t.equal((await ask(north, '/microkernel?name=winpe-bcd', { method: 'DELETE' })).status, 200);
});

t.test('what cannot be is refused, and a bundle that has lost a file is failed and says so', async (t) => {
  const service = await start(t);
  const wrong: readonly (readonly [bundle: readonly string[], more: string, status: number, message: RegExp])[] = [
    [['none'], '', 404, /There is no none in the microkernel store/],
    [['../etc/passwd'], '', 400, /no way up/],
    [['bootmgr'], '&view=udf', 400, /view belongs to an ISO, and not to bundle/],
    [['bootmgr'], `&sha256=${'0'.repeat(64)}`, 400, /sha256 belongs to an ISO/],
    [['bootmgr'], '&sums=http://h/s', 400, /sums belongs to isoweb/],
  ];
  for (const [bundle, more, status, message] of wrong) {
    const answer = await put(service, 'a/1', bundle, more);
    t.match([answer.status, answer.text], [status, message], String(message));
  }
  t.same(json(await ask(service.north, '/images')), []);
  await put(service, 'winpe/10', winpe);
  await rm(join(service.folder, 'static/common/wimboot'));
  t.match((await ask(service.south, '/winpe/10/?format=text')).text, /wimboot/, 'the listing goes on');
  const again = await service.restart();
  const [record] = json(await ask(again.north, '/images')) as object[];
  t.match(record, { status: 'failed', error: 'There is no wimboot in the microkernel store' });
  await writeFile(join(service.folder, 'static/common/wimboot'), 'back');
  const third = await again.restart();
  t.match(json(await ask(third.north, '/images')), [{ status: 'OK' }]);
});

t.test('a bundle can have a recipe for firmware only by its loader, and is checked like any image', async (t) => {
  const service = await start(t);
  const { id } = json(await put(service, 'coreos/1', coreos)) as { id: string };
  const all = json(await ask(service.north, `/images/${id}/recipe`));
  t.match(all, { rackhd: { name: 'Graph.InstallCoreOS' }, missing: { 'uefi-http': /no loader for UEFI/ } });
  t.match(json(await ask(service.north, `/images/${id}/check`)), { found: 0, isComplete: true });
});
