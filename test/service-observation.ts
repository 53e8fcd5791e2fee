import { createServer } from 'node:http';
import { rename, rm, writeFile } from 'node:fs/promises';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { ask, json } from './fixtures/client.js';
import { Connection } from './fixtures/connection.js';
import { metricsOf, sum } from './fixtures/metrics.js';
import { startTestService } from './fixtures/service.js';
import { smallIso } from './fixtures/small-iso.js';
import { addImage } from './fixtures/southbound.js';
import { waitFor } from './fixtures/wait.js';

interface Status {
  readonly transfers: { readonly total: number; readonly longest: readonly Record<string, unknown>[] };
}

async function transfersOf(north: string): Promise<Status['transfers']> {
  return (json(await ask(north, '/status')) as Status).transfers;
}

t.test('the status says what the service is, and since when', async (t) => {
  const { north } = await startTestService(t);
  const status = json(await ask(north, '/status'));
  t.match(status, {
    version: '0.0.0',
    uptime: Number,
    driver: 'direct',
    transfers: { total: 0, longest: [] },
    workers: [],
  });
});

t.test('an upload and a download are shown while they go on', async (t) => {
  const far = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Length': 90_000 });
    response.write(Buffer.alloc(30_000));
  });
  await once(far.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    far.closeAllConnections();
    far.close();
  });
  const { north } = await startTestService(t);
  const host = `127.0.0.1:${(far.address() as AddressInfo).port}`;
  await ask(north, `/images?name=w&version=1&isoweb=http://me:secret@${host}/w.iso`, { method: 'PUT' });
  const upload = await Connection.open(north);
  upload.send(`PUT /microkernel?name=k HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n${'x'.repeat(200)}`);
  const bytesOf = async () => (await transfersOf(north)).longest.map(({ bytes }) => bytes);
  await waitFor('both', async () => (await bytesOf()).join() === '30000,200');
  const { total, longest } = await transfersOf(north);
  t.equal(total, 2);
  t.match(longest, [
    { direction: 'download', client: host, image: 'w/1', file: 'w.iso', total: 90_000, rate: Number, since: /Z$/ },
    { direction: 'upload', client: '127.0.0.1', file: 'k', total: 500, rate: Number },
  ]);
  t.notMatch(JSON.stringify(longest), /secret/);
  const values = await metricsOf(north);
  for (const direction of ['upload', 'download']) {
    t.equal(values.get(`image_service_transfers_in_progress{direction="${direction}"}`), 1, direction);
  }
  t.equal(values.get('image_service_images{status="downloading iso"}'), 1);
  upload.socket.destroy();
  await waitFor('the end of the upload', async () => (await transfersOf(north)).total === 1);
});

t.test('a download that is given up is counted by its code, and one that is deleted is not', async (t) => {
  const far = createServer((request, response) => {
    if (request.url === '/slow.iso') response.writeHead(200, { 'Content-Length': 10 }).write('x');
    else response.writeHead(404).end();
  });
  await once(far.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => {
    far.closeAllConnections();
    far.close();
  });
  const { north } = await startTestService(t);
  const from = `isoweb=http://127.0.0.1:${(far.address() as AddressInfo).port}`;
  await ask(north, `/images?name=b&version=1&${from}/slow.iso`, { method: 'PUT' });
  await ask(north, '/images?name=b&version=1', { method: 'DELETE' });
  const headers = { prefer: 'wait=20' };
  await ask(north, `/images?name=a&version=1&${from}/a.iso`, { method: 'PUT', headers });
  const values = await metricsOf(north);
  t.equal(sum(values, 'image_service_download_failures_total'), 1);
  t.equal(sum(values, 'image_service_download_failures_total', 'reason="BAD_GATEWAY"'), 1);
  t.equal(sum(values, 'image_service_images', 'status="failed"'), 1);
});

t.test('bytes count for the image that they belong to, for as long as there is one', async (t) => {
  const service = await startTestService(t);
  const { north, south, folder } = service;
  await addImage(service, 'a/1', { readme: 'hello' });
  await writeFile(join(folder, 'static/loose'), 'loose file');
  for (const path of ['/a/1/readme', '/A/1/README', '/loose']) await ask(south, path);
  const sent = 'image_service_sent_bytes_total';
  const values = await metricsOf(north);
  t.equal(values.get(`${sent}{image="a/1",store="iso"}`), 10);
  t.equal(values.get(`${sent}{image="none",store="none"}`), 10);
  await ask(north, '/iso?name=a-1.iso', { method: 'PUT', body: smallIso({ readme: 'HELLO' }) });
  t.ok(sum(await metricsOf(north), 'image_service_received_bytes_total', 'image="a/1"') > 2048);
  await ask(north, '/images?name=a&version=1', { method: 'DELETE' });
  t.notOk([...(await metricsOf(north)).keys()].some((series) => series.includes('a/1')));
});

t.test('bytes of an ISO that a client uploads count for its image while they arrive', async (t) => {
  const { north } = await startTestService(t);
  const upload = await Connection.open(north);
  const head = 'PUT /images?name=c&version=1&isoclient=c.iso HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n';
  upload.send(`${head}${'x'.repeat(40_000)}`);
  const series = 'image_service_received_bytes_total{image="c/1",store="iso"}';
  await waitFor('its bytes', async () => (await metricsOf(north)).get(series) === 40_000);
  upload.socket.destroy();
  await waitFor('its end', async () => !(await metricsOf(north)).has(series));
});

t.test('a store whose folder has gone does not take the metrics with it', async (t) => {
  const { north, folder } = await startTestService(t);
  const iso = join(folder, 'static/iso');
  await rename(iso, `${iso}-gone`);
  const values = await metricsOf(north);
  t.notOk(values.has('image_service_store_free_bytes{store="iso"}'));
  t.ok((values.get('image_service_store_free_bytes{store="microkernel"}') ?? 0) > 0);
  await rm(iso, { recursive: true, force: true });
  await rename(`${iso}-gone`, iso);
});
