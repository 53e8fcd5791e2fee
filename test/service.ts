import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { readConfig } from '../lib/config.js';
import { createLog } from '../lib/log.js';
import { startService } from '../lib/service.js';
import { ask, json } from './fixtures/client.js';
import { farEnd } from './fixtures/download-server.js';
import { settledImage } from './fixtures/e2e-tools.js';
import { beginUpload, writePart } from './fixtures/e2e-upload.js';
import { startTestService, temporaryFolder } from './fixtures/service.js';
import { smallIso } from './fixtures/small-iso.js';

const wait = { prefer: 'wait=10' };

t.test('after a restart every OK image is served again before the ports open', async (t) => {
  const service = await startTestService(t);
  await writeFile(join(service.folder, 'static/iso/a.iso'), smallIso({ readme: 'hello' }));
  await ask(service.north, '/images?name=n&version=1&isostore=a.iso', { method: 'PUT', headers: wait });
  const before = json(await ask(service.north, '/images'));
  const again = await service.restart();
  t.equal((await ask(again.south, '/n/1/readme')).text, 'hello');
  t.same(json(await ask(again.north, '/images')), before);
});

t.test('an image whose ISO is missing is kept as failed, and is OK when the ISO is back at a start', async (t) => {
  const service = await startTestService(t);
  const iso = join(service.folder, 'static/iso/a.iso');
  await writeFile(iso, smallIso({ readme: 'hello' }));
  await ask(service.north, '/images?name=n&version=1&isostore=a.iso', { method: 'PUT', headers: wait });
  await service.service.stop();
  await rename(iso, join(service.folder, 'away.iso'));
  const broken = await startTestService(t, {}, service.folder);
  t.match(json(await ask(broken.north, '/images')), [{ name: 'n', status: 'failed', error: /no such ISO/i }]);
  t.equal((await ask(broken.south, '/n/1/readme')).status, 404);
  await broken.service.stop();
  await rename(join(service.folder, 'away.iso'), iso);
  const mended = await startTestService(t, {}, service.folder);
  const [record] = json(await ask(mended.north, '/images')) as [object];
  t.match(record, { status: 'OK' });
  t.notOk('error' in record);
  t.equal((await ask(mended.south, '/n/1/readme')).text, 'hello');
});

t.test('an inventory of the released service is loaded as it is', async (t) => {
  const folder = await temporaryFolder(t);
  const record = { id: 'b6b3e3be-c799-4af4-86c8-09a99d3aa7c7', iso: 'centos-7.0.iso', name: 'centos', version: '7.0' };
  await writeFile(join(folder, 'inventory.json'), JSON.stringify({ images: [{ ...record, status: 'OK' }] }));
  const service = await startTestService(t, {}, folder);
  t.match(json(await ask(service.north, '/images')), [{ ...record, status: 'failed' }]);
  await writeFile(join(folder, 'static/iso/centos-7.0.iso'), smallIso({ readme: 'hello' }));
  const again = await service.restart();
  t.match(json(await ask(again.north, '/images')), [{ ...record, status: 'OK' }]);
  t.equal((await ask(again.south, '/centos/7.0/readme')).text, 'hello');
});

t.test('a broken inventory is kept aside, said loudly, and never overwritten', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'inventory.json'), '{"images": [{"id"');
  const service = await startTestService(t, {}, folder);
  t.same(json(await ask(service.north, '/images')), []);
  const aside = (await readdir(folder)).filter((name) => name.startsWith('inventory.json.'));
  t.equal(aside.length, 1);
  t.equal(await readFile(join(folder, aside[0] ?? ''), 'utf8'), '{"images": [{"id"');
  t.ok(service.log.some((line) => / critical .*inventory/.test(line)));
});

t.test('two services run side by side in one process', async (t) => {
  const [one, other] = [await startTestService(t), await startTestService(t)];
  await ask(one.north, '/iso?name=a', { method: 'PUT', body: 'x' });
  t.match(json(await ask(one.north, '/iso')), [{ name: 'a' }]);
  t.same(json(await ask(other.north, '/iso')), []);
});

t.test('when one port is taken the service does not start, and leaves no other open', async (t) => {
  const running = await startTestService(t);
  const taken = Number(new URL(running.north).port);
  const endpoints = [
    { address: '127.0.0.1', port: 0, routers: 'southbound' },
    { address: '127.0.0.1', port: taken, routers: 'northbound' },
  ];
  const config = readConfig(JSON.stringify({ httpEndpoints: endpoints }), await temporaryFolder(t), {}, 'test');
  const log: string[] = [];
  const started = startService(
    config,
    '0.0.0',
    createLog(0, (line) => log.push(line)),
  );
  await t.rejects(started, { code: 'BAD_REQUEST', message: new RegExp(`port ${taken}`) });
  const opened = /southbound on \S+ port (\d+)/.exec(log.join(''))?.[1];
  await t.rejects(ask(`http://127.0.0.1:${opened ?? ''}`, '/'), { code: 'ECONNREFUSED' });
});

t.test('a second service on the same files does not start, and leaves what arrives for the first alone', async (t) => {
  const iso = smallIso({ readme: 'hello' });
  const first = await startTestService(t);
  let finishDownload = () => undefined as unknown;
  const far = await farEnd(t, (_, response) => {
    response.writeHead(200, { 'Content-Length': iso.length });
    response.write(iso.subarray(0, 100_000));
    finishDownload = () => response.end(iso.subarray(100_000));
  });
  await ask(first.north, `/images?name=d&version=1&isoweb=${far.url}/d.iso`, { method: 'PUT' });
  const upload = beginUpload(first.north, '/images?name=u&version=1&isoclient=u.iso', iso.length);
  await writePart(upload, iso.subarray(0, 100_000));
  const transit = async () =>
    (await readdir(join(first.folder, 'static/iso/.image-service'))).filter((name) => name.endsWith('.part'));
  while ((await transit()).length < 2) await new Promise((resolve) => setTimeout(resolve, 5));

  for (const [key, path] of [
    ['inventoryFile', 'inventory.json'],
    ['isoDir', 'static/iso'],
    ['microkernelDir', 'static/common'],
  ] as const) {
    const shared = join(first.folder, path);
    await t.rejects(startTestService(t, { [key]: shared }), {
      code: 'BAD_REQUEST',
      message: `${key} ${JSON.stringify(shared)}: ${shared} is in use by another image-service`,
    });
  }
  await t.rejects(startTestService(t, {}, first.folder), { message: /in use by another image-service/ });

  t.equal((await transit()).length, 2, 'both are still arriving');
  upload.request.end(iso.subarray(100_000));
  t.match(await upload.ended, { status: 200, text: /Upload finished!\n$/ });
  finishDownload();
  t.match(await settledImage(first.north, 'd'), { status: 'OK' });
  for (const name of ['d', 'u']) t.equal((await ask(first.south, `/${name}/1/readme`)).text, 'hello', name);
  const again = await first.restart();
  t.equal((await ask(again.south, '/u/1/readme')).text, 'hello', 'a service that has stopped is in nobody’s way');
});

t.test('a restored image that may not be is failed with words and serves nothing', async (t) => {
  const folder = await temporaryFolder(t);
  const local = join(folder, 'elsewhere/local.iso');
  await mkdir(join(folder, 'elsewhere'));
  await mkdir(join(folder, 'static/iso'), { recursive: true });
  for (const path of [local, join(folder, 'static/iso/a.iso')]) await writeFile(path, smallIso({ readme: 'hello' }));
  const record = { version: '1', status: 'OK' };
  const records = [
    { ...record, id: '1', name: 'iso', iso: 'a.iso' },
    { ...record, id: '2', name: 'Common', iso: 'a.iso' },
    { ...record, id: '3', name: 'local', iso: local, source: { kind: 'isolocal', value: local } },
    { ...record, id: '4', name: 'released', iso: local },
    { ...record, id: '5', name: 'good', iso: 'a.iso' },
  ];
  await writeFile(join(folder, 'inventory.json'), JSON.stringify({ images: records }));
  const { north, south } = await startTestService(t, { isoLocalDirs: [join(folder, 'allowed')] }, folder);
  t.match(json(await ask(north, '/images')), [
    { name: 'iso', status: 'failed', error: /"iso" is in use by the service/ },
    { name: 'Common', status: 'failed', error: /"Common" is in use by the service/ },
    { name: 'local', status: 'failed', error: /outside of the folders that isoLocalDirs allows/ },
    { name: 'released', status: 'failed', error: /outside of the folders that isoLocalDirs allows/ },
    { name: 'good', status: 'OK' },
  ]);
  for (const name of ['iso', 'Common', 'local', 'released']) {
    t.equal((await ask(south, `/${name}/1/readme`)).status, 404, name);
  }
  t.equal((await ask(south, '/good/1/readme')).text, 'hello');
  t.equal((await ask(south, '/iso/a.iso')).status, 200, 'and the place of the store is the store’s');
});
