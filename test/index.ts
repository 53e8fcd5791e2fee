import { mkdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createService, type ImageService, type ServiceOptions, type Settings } from '../lib/index.js';
import { ask, json } from './fixtures/client.js';
import { temporaryFolder } from './fixtures/service.js';
import { smallIso } from './fixtures/small-iso.js';
import { workersOf } from './fixtures/workers.js';

const free: Settings = {
  httpEndpoints: [
    { address: '127.0.0.1', port: 0, routers: 'northbound' },
    { address: '127.0.0.1', port: 0, routers: ['southbound'] },
  ],
  southboundWorkers: 0,
  stopTimeout: 200,
};

async function create(t: Test, settings: Settings = {}, options: ServiceOptions = {}) {
  const root = options.root ?? (await temporaryFolder(t));
  const lines: string[] = [];
  const service = createService({ ...free, ...settings }, { root, log: (line) => lines.push(line), ...options });
  t.teardown(() => service.stop());
  return { service, root, lines };
}

function urls({ endpoints }: ImageService): string[] {
  return endpoints.map(({ address, port }) => `http://${address}:${port}`);
}

async function addImage(north = '', name: string, text: string): Promise<void> {
  const headers = { accept: 'application/json' };
  const path = `/images?name=${name}&version=1&isoclient=${name}.iso`;
  await ask(north, path, { method: 'PUT', headers, body: smallIso({ readme: text }) });
}

t.test('a service starts, serves, and stops', async (t) => {
  const { service } = await create(t);
  t.same(service.endpoints, []);
  await service.start();
  const [north = '', south = ''] = urls(service);
  t.match(service.endpoints, [{ routers: ['northbound'] }, { routers: ['southbound'] }]);
  await addImage(north, 'a', 'hello');
  t.equal((await ask(south, '/a/1/readme')).text, 'hello');
  await service.stop();
  t.same(service.endpoints, []);
  await t.rejects(ask(north, '/images'), { code: 'ECONNREFUSED' });
  await t.rejects(ask(south, '/'), { code: 'ECONNREFUSED' });
});

t.test('two services run in one process, each with worker processes of its own', async (t) => {
  const services = [await create(t, { southboundWorkers: 1 }), await create(t, { southboundWorkers: 2 })];
  await Promise.all(services.map(({ service }) => service.start()));
  t.equal((await workersOf(process.pid)).length, 3);
  const [one, other] = services.map(({ service }) => urls(service));
  await addImage(one?.[0], 'a', 'one');
  await addImage(other?.[0], 'a', 'other');
  t.equal((await ask(one?.[1] ?? '', '/a/1/readme')).text, 'one');
  t.equal((await ask(other?.[1] ?? '', '/a/1/readme')).text, 'other');
  await services[0]?.service.stop();
  t.equal((await workersOf(process.pid)).length, 2);
  t.equal((await ask(other?.[1] ?? '', '/a/1/readme')).text, 'other', 'the other one goes on');
  await services[1]?.service.stop();
  t.equal((await workersOf(process.pid)).length, 0);
});

t.test('a service leaves the process as it was', async (t) => {
  const state = () => ({
    listeners: process.eventNames().map((name) => [String(name), process.listenerCount(name)]),
    folder: process.cwd(),
    environment: { ...process.env },
  });
  const before = state();
  const { service } = await create(t, { southboundWorkers: 1 });
  await service.start();
  t.same(state(), before);
  await service.stop();
  t.same(state(), before);
});

t.test('calls may come at any time, and each waits for those before it', async (t) => {
  const { service } = await create(t);
  await service.stop();
  t.same(service.endpoints, [], 'a stop before the start does nothing');
  const [first, second] = [service.start(), service.start()];
  await first;
  const ports = urls(service);
  await second;
  t.same(urls(service), ports, 'a second start changes nothing');
  await Promise.all([service.stop(), service.stop()]);
  await Promise.all([service.start(), service.stop(), service.start()]);
  t.equal((await ask(urls(service)[0] ?? '', '/images')).status, 200);
  await Promise.all([service.start(), service.stop()]);
  t.same(service.endpoints, []);
});

t.test('after a stop it starts anew, with the images that it had', async (t) => {
  const { service } = await create(t);
  await service.start();
  await addImage(urls(service)[0], 'a', 'hello');
  await service.stop();
  await service.start();
  t.equal((await ask(urls(service)[1] ?? '', '/a/1/readme')).text, 'hello');
});

t.test('a start that fails says why, and can be tried again', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1');
  t.teardown(() => taken.close());
  await once(taken, 'listening');
  const address = taken.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const httpEndpoints = [{ address: '127.0.0.1', port, routers: ['northbound', 'southbound'] as const }];
  const { service } = await create(t, { httpEndpoints });
  await t.rejects(service.start(), { code: 'BAD_REQUEST', message: new RegExp(`port ${port}`) });
  t.same(service.endpoints, []);
  taken.close();
  await once(taken, 'close');
  await service.start();
  t.match(service.endpoints, [{ port }]);
});

t.test('two services on the same folders: the second does not start', async (t) => {
  const { service, root } = await create(t);
  await service.start();
  const { service: second } = await create(t, {}, { root });
  await t.rejects(second.start(), { code: 'BAD_REQUEST', message: /in use by another image-service/ });
  await service.stop();
  await second.start();
});

t.test('what is wrong with the settings is said by name, all at once, before anything happens', (t) => {
  const wrong: Record<string, unknown> = {
    isoDirr: 'x',
    rateLimit: -1,
    stopTimeout: NaN,
    httpTimeout: () => 1,
    chunkCache: 2n ** 70n,
    mount: { driver: 'magic' },
  };
  const names = ['isoDirr', 'rateLimit', 'stopTimeout', 'httpTimeout', 'chunkCache', 'mount.driver'];
  let thrown: unknown;
  try {
    createService(wrong);
  } catch (error) {
    thrown = error;
  }
  t.match(thrown, { name: 'ServiceError', code: 'BAD_REQUEST' });
  const lines = String(thrown).replace('ServiceError: ', '').split('\n');
  t.same(lines.map((line) => /^settings: ([\w.]+): /.exec(line)?.[1]).sort(), names.sort());
  t.match(String(thrown), 'stopTimeout: "NaN" is not allowed');
  t.end();
});

t.test('a setting of undefined is one that is left out, and null is none', (t) => {
  const settings: Settings = { rateLimit: undefined, isoWebHosts: null, mount: { driver: undefined }, user: 65534 };
  t.doesNotThrow(() => createService(settings));
  t.end();
});

t.test('the environment counts only when it is given', async (t) => {
  const environment = { IMAGE_SERVICE_HTTP_FILE_SERVICE_API_ROOT: '/files' };
  Object.assign(process.env, environment);
  t.teardown(() => delete process.env['IMAGE_SERVICE_HTTP_FILE_SERVICE_API_ROOT']);
  const [without, given] = [await create(t), await create(t, {}, { environment })];
  for (const [{ service, root }, path] of [
    [without, '/x'],
    [given, '/files/x'],
  ] as const) {
    await service.start();
    await writeFile(join(root, 'static/x'), 'x');
    t.equal((await ask(urls(service)[1] ?? '', path)).text, 'x', path);
  }
});

t.test('relative paths begin at the root, which is the current folder when it is left out', async (t) => {
  const root = await temporaryFolder(t);
  const before = process.cwd();
  process.chdir(root);
  t.teardown(() => process.chdir(before));
  const service = createService({ ...free, isoDir: 'a/iso' });
  process.chdir(before);
  t.teardown(() => service.stop());
  await service.start();
  await addImage(urls(service)[0], 'a', 'hello');
  await writeFile(join(root, 'a/iso/loose'), 'loose');
  t.equal((await ask(urls(service)[1] ?? '', '/iso/loose')).text, 'loose');
});

t.test('the log has the lines that minLogLevel asks for', async (t) => {
  const quiet = await create(t, { minLogLevel: 5 });
  const loud = await create(t, { minLogLevel: 1 });
  for (const { service } of [quiet, loud]) await service.start();
  t.same(quiet.lines, []);
  t.match(loud.lines, [/ info +northbound on .*\n$/, / info +southbound on .*\n$/]);
  await loud.service.reload({ ...free, minLogLevel: 5 });
  const { length } = loud.lines;
  await loud.service.reload({ ...free, minLogLevel: 5, rateLimit: 1 });
  t.equal(loud.lines.length, length);
});

t.test('other settings are put in force while it runs, and the rest at the next start', async (t) => {
  const { service, root, lines } = await create(t);
  await service.start();
  await writeFile(join(root, 'a.iso'), smallIso({ readme: 'hello' }));
  await mkdir(join(root, 'allowed'));
  const put = async () => {
    const answer = await ask(urls(service)[0] ?? '', `/images?name=a&version=1&isolocal=${root}/a.iso`, {
      method: 'PUT',
    });
    return json(answer);
  };
  const ports = urls(service);
  const other: Settings = { ...free, isoLocalDirs: ['allowed'], httpFileServiceApiRoot: '/files' };
  t.same(await service.reload(other), ['httpFileServiceApiRoot']);
  t.match(lines.join(''), 'warning  httpFileServiceApiRoot: takes effect after a restart\n');
  t.same(urls(service), ports);
  t.match(await put(), { code: 'FORBIDDEN' });
  await t.rejects(service.reload({ ...free, rateLimit: -1 }), { code: 'BAD_REQUEST', message: /settings: rateLimit/ });
  t.match(await put(), { code: 'FORBIDDEN' }, 'as before');
  t.equal((await ask(urls(service)[1] ?? '', '/files/')).status, 404);
  await service.stop();
  await service.start();
  t.equal((await ask(urls(service)[1] ?? '', '/files/')).status, 200);
  t.same(await service.reload(free), ['httpFileServiceApiRoot']);
  t.match(await put(), { name: 'a' }, 'what is left out has its default again');
});
