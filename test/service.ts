import { readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { readConfig } from '../lib/config.js';
import { createLog } from '../lib/log.js';
import { startService } from '../lib/service.js';
import { ask, json } from './fixtures/client.js';
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
