import { appendFile, chmod, rm, truncate, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { once } from 'node:events';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLog } from '../../lib/log.js';
import { type PoolOptions, WorkerPool } from '../../lib/workers/pool.js';
import type { Question } from '../../lib/workers/protocol.js';
import { type Answer, ask } from '../fixtures/client.js';
import { startTestService, temporaryFolder, type TestService } from '../fixtures/service.js';
import { begin } from '../fixtures/slow-download.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';
import { killWorkers, withEach, workersOf } from '../fixtures/workers.js';

function start(t: Test, settings: Readonly<Record<string, unknown>> = {}): Promise<TestService> {
  return startTestService(t, { southboundWorkers: 2, ...settings });
}

function askAll(south: string, path: string): Promise<Answer[]> {
  return withEach(process.pid, () => ask(south, path));
}

async function put(service: TestService, iso: string, bytes: Buffer): Promise<void> {
  const headers = { accept: 'application/json' };
  const { status } = await ask(service.north, `/iso?name=${iso}`, { method: 'PUT', body: bytes, headers });
  if (status !== 201 && status !== 200) throw new Error(`PUT: ${status}`);
}

async function addImage(service: TestService, name: string, source: string): Promise<Answer> {
  const headers = { prefer: 'wait=20' };
  return ask(service.north, `/images?name=${name}&version=1&${source}`, { method: 'PUT', headers });
}

async function withImage(t: Test, settings = {}): Promise<TestService> {
  const service = await start(t, settings);
  await put(service, 'a.iso', smallIso({ readme: 'hello', big: Buffer.alloc(500_000, 'b') }, { link: 'readme' }));
  t.match((await addImage(service, 'a', 'isostore=a.iso')).text, '"OK"');
  return service;
}

/** What all workers answer, when they agree. */
async function theAnswer(t: Test, south: string, path: string): Promise<Answer> {
  const [first, ...others] = await askAll(south, path);
  if (first === undefined) throw new Error('no answer');
  const shown = ({ status, text, headers: { date, ...headers } }: Answer) => ({ status, text, headers });
  for (const other of others) t.same(shown(other), shown(first));
  return first;
}

t.test('all workers serve files, images and digests alike', async (t) => {
  const service = await withImage(t);
  t.equal((await workersOf(process.pid)).length, 2);
  t.equal((await theAnswer(t, service.south, '/a/1/link')).text, 'hello');
  t.match((await theAnswer(t, service.south, '/iso/a.iso')).headers, { 'repr-digest': /^sha-256=/ });
  await writeFile(join(service.folder, 'static/loose'), 'loose');
  t.equal((await theAnswer(t, service.south, '/loose')).text, 'loose');
  t.match((await theAnswer(t, service.south, '/?format=text')).text, 'a/\n');
  t.match((await theAnswer(t, service.south, '/iso/SHA256SUMS')).text, /^[0-9a-f]{64}  a\.iso\n$/);
});

t.test('an image is there for every worker once its PUT has answered, and for none once DELETE has', async (t) => {
  const service = await withImage(t);
  for (let round = 0; round < 5; round++) {
    t.match((await addImage(service, 'b', 'isostore=a.iso')).text, '"OK"');
    t.equal((await theAnswer(t, service.south, '/b/1/readme')).status, 200);
    t.equal((await ask(service.north, '/images?name=b&version=1', { method: 'DELETE' })).status, 200);
    t.equal((await theAnswer(t, service.south, '/b/1/readme')).status, 404);
  }
});

t.test('an ISO that is replaced is shown by every worker once its PUT has answered', async (t) => {
  const service = await withImage(t);
  const before = await theAnswer(t, service.south, '/a/1/readme');
  await put(service, 'a.iso', smallIso({ readme: 'HELLO' }));
  const after = await theAnswer(t, service.south, '/a/1/readme');
  t.equal(after.text, 'HELLO');
  t.not(after.headers.etag, before.headers.etag);
});

t.test('a download goes on while its image is deleted', async (t) => {
  const service = await withImage(t);
  const [response] = (await once(request(`${service.south}/a/1/big`).end(), 'response')) as [
    NodeJS.ReadableStream & { statusCode: number },
  ];
  t.equal((await ask(service.north, '/images?name=a&version=1', { method: 'DELETE' })).status, 200);
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Buffer).length;
  t.equal(bytes, 500_000);
});

t.test('a worker that is killed is started again, and knows all that the others know', async (t) => {
  const service = await withImage(t);
  const before = await theAnswer(t, service.south, '/a/1/readme');
  const [victim = 0] = await workersOf(process.pid);
  const answers = Promise.all(
    Array.from({ length: 30 }, () => ask(service.south, '/a/1/readme').catch(() => undefined)),
  );
  await killWorkers(process.pid, [victim]);
  for (const answer of await answers) if (answer) t.equal(answer.text, 'hello');
  const after = await theAnswer(t, service.south, '/a/1/readme');
  t.equal(after.headers.etag, before.headers.etag);
  t.match(service.log.join(''), /a worker process ended \(SIGKILL\) and is started again/);
});

t.test('while no worker is left, clients wait for the next one', async (t) => {
  const service = await withImage(t);
  const victims = await workersOf(process.pid);
  for (const victim of victims) process.kill(victim, 'SIGKILL');
  await waitFor('the ends', () => service.log.filter((line) => line.includes('(SIGKILL)')).length === 2);
  const answers = Array.from({ length: 12 }, () => ask(service.south, '/a/1/readme'));
  for (const { text } of await Promise.all(answers)) t.equal(text, 'hello');
});

t.test('an ISO that is deleted on disk goes on being served, by a later worker too', async (t) => {
  const service = await withImage(t);
  const path = join(service.folder, 'static/iso/a.iso');
  await rm(path);
  t.equal((await theAnswer(t, service.south, '/a/1/readme')).text, 'hello');
  await killWorkers(process.pid, await workersOf(process.pid));
  t.equal((await theAnswer(t, service.south, '/a/1/readme')).text, 'hello');
  await writeFile(path, smallIso({ readme: 'other' }));
  await killWorkers(process.pid, await workersOf(process.pid));
  t.equal((await theAnswer(t, service.south, '/a/1/readme')).text, 'hello', 'whatever is in its place by now');
});

t.test('an ISO elsewhere on the server is served by every worker, under its own name too', async (t) => {
  const service = await start(t);
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, 'far.iso'), smallIso({ readme: 'far' }));
  t.match((await addImage(service, 'far', `isolocal=${folder}/far.iso`)).text, '"OK"');
  t.equal((await theAnswer(t, service.south, '/far/1/readme')).text, 'far');
  t.equal((await theAnswer(t, service.south, '/iso/far.iso')).status, 200);
  await ask(service.north, '/images?name=far&version=1', { method: 'DELETE' });
  await ask(service.north, '/iso?name=far.iso', { method: 'DELETE' });
  t.equal((await theAnswer(t, service.south, '/iso/far.iso')).status, 404);
});

t.test('an image that fails is 404 for every worker', async (t) => {
  const service = await start(t);
  await writeFile(join(service.folder, 'static/iso/bad.iso'), 'no ISO at all');
  await addImage(service, 'bad', 'isostore=bad.iso');
  t.equal((await theAnswer(t, service.south, '/bad/1/x')).status, 404);
});

t.test('after a restart of the service every worker serves what there was', async (t) => {
  const service = await withImage(t);
  const before = await theAnswer(t, service.south, '/a/1/readme');
  const again = await service.restart();
  const after = await theAnswer(t, again.south, '/a/1/readme');
  t.same([after.text, after.headers.etag], [before.text, before.headers.etag]);
});

t.test('an ISO that somebody has written into is read anew by every worker', async (t) => {
  const service = await withImage(t);
  const path = join(service.folder, 'static/iso/a.iso');
  const before = await theAnswer(t, service.south, '/a/1/readme');
  await appendFile(path, Buffer.alloc(2048));
  t.not((await theAnswer(t, service.south, '/a/1/readme')).headers.etag, before.headers.etag);
});

t.test('when the service stops, requests in flight end first, and no worker stays', async (t) => {
  const service = await withImage(t, { stopTimeout: 5000 });
  const [response] = (await once(request(`${service.south}/a/1/big`).end(), 'response')) as [NodeJS.ReadableStream];
  const stopped = service.service.stop();
  let bytes = 0;
  for await (const chunk of response) bytes += (chunk as Buffer).length;
  t.equal(bytes, 500_000);
  await stopped;
  t.same(await workersOf(process.pid), []);
});

t.test('a port that is taken keeps the service from starting, and no worker stays', async (t) => {
  const service = await start(t);
  const endpoint = (port: number, routers: string) => ({ address: '127.0.0.1', port, routers });
  const taken = Number(new URL(service.south).port);
  const httpEndpoints = [endpoint(0, 'northbound'), endpoint(taken, 'southbound')];
  await t.rejects(start(t, { httpEndpoints }), { message: /Cannot listen on 127\.0\.0\.1 port .*EADDRINUSE/ });
  t.equal((await workersOf(process.pid)).length, 2);
});

t.test('all connections of an address share its rate limit, whichever workers have them', async (t) => {
  const service = await start(t, { rateLimit: 10_000 });
  await writeFile(join(service.folder, 'static/file'), '');
  await truncate(join(service.folder, 'static/file'), 64 * 2 ** 20);
  const began = performance.now();
  const downloads = await withEach(process.pid, () => begin(`${service.south}/file`));
  let bytes = 0;
  for (const download of downloads) download.on('data', (chunk: Buffer) => (bytes += chunk.length));
  await waitFor('bytes of more than a second', () => bytes >= 12_000);
  for (const download of downloads) download.destroy();
  // A tenth of a second's may come at once, to all of them together.
  const most = 1000 + 10 * (performance.now() - began);
  t.ok(bytes <= most, `${bytes} bytes, where ${most.toFixed(0)} are allowed`);
});

/** A worker without a service, on a folder. */
async function startAlone(t: Test, options: Partial<PoolOptions>, rateLimit = 0) {
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o755);
  const log = createLog(0, () => undefined);
  const pool = new WorkerPool({ log, answer: () => Promise.resolve(), ...options });
  t.teardown(() => pool.stop(0));
  await pool.start(1, {
    ...{ httpTimeout: 1000, maxConnections: 10, rateLimit, chunkCache: 0, southboundWait: 0, apiRoot: '/' },
    ...{ southboundAllow: undefined, publicUrl: undefined, bootDefault: undefined, bootTimeout: 0 },
    ...{ httpFileServiceRootDir: folder, inventoryFile: join(folder, 'inventory.json'), minLogLevel: 0 },
    ...{ stores: { iso: folder, common: folder }, user: undefined, folders: {} },
  });
  return { pool, folder };
}

t.test('what a client has asked for that leaves is not waited for any more', async (t) => {
  const asked: AbortSignal[] = [];
  const answer = async (question: Question, signal: AbortSignal) => {
    t.match(question, { type: 'pace', address: '127.0.0.1', bytes: 4 });
    asked.push(signal);
    await once(signal, 'abort');
  };
  const { pool, folder } = await startAlone(t, { answer }, 1000);
  await writeFile(join(folder, 'file'), 'text');
  const { port } = await pool.listen('127.0.0.1', 0);
  const client = request(`http://127.0.0.1:${port}/file`).on('error', () => undefined);
  client.end();
  await waitFor('the question', () => asked.length === 1);
  t.notOk(asked[0]?.aborted);
  client.destroy();
  await waitFor('its end', () => asked[0]?.aborted === true);
});

async function untilReplaced(worker: number): Promise<void> {
  await waitFor('another worker', async () => (await workersOf(process.pid)).some((pid) => pid !== worker));
}

t.test('a worker that does not answer is ended, and whoever waits for it goes on', async (t) => {
  const lines: string[] = [];
  const log = createLog(0, (line) => lines.push(line));
  const { pool } = await startAlone(t, { log, patience: 300 });
  const [worker = 0] = await workersOf(process.pid);
  process.kill(worker, 'SIGSTOP');
  t.equal(await pool.tell({ kind: 'image', key: 'x', value: undefined }), undefined);
  await untilReplaced(worker);
  t.match(lines.join(''), /a worker process ended \(SIGKILL\)/);
});

t.test('one that hangs is ended also when nobody waits for it', async (t) => {
  await startAlone(t, { patience: 300 });
  const [worker = 0] = await workersOf(process.pid);
  process.kill(worker, 'SIGSTOP');
  await untilReplaced(worker);
});

t.test('it serves while a worker lives, and not between the end of the last one and the next', async (t) => {
  const serving: boolean[] = [];
  const log = createLog(0, (line) => {
    if (line.includes('a worker process ended')) serving.push(pool.isServing);
  });
  const { pool } = await startAlone(t, { log });
  t.ok(pool.isServing);
  const [worker = 0] = await workersOf(process.pid);
  process.kill(worker, 'SIGKILL');
  await waitFor('another worker', () => serving.length === 1 && pool.isServing);
  t.same(serving, [false]);
  await pool.stop(0);
  t.notOk(pool.isServing);
});
