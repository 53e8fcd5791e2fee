import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { metricsOf, sum } from '../fixtures/metrics.js';
import { startTestService, type TestService } from '../fixtures/service.js';
import { finish, begin } from '../fixtures/slow-download.js';
import { smallIso } from '../fixtures/small-iso.js';
import { addImage } from '../fixtures/southbound.js';
import { waitFor } from '../fixtures/wait.js';
import { killWorkers, withEach, workersOf } from '../fixtures/workers.js';

const big = Buffer.alloc(200_000, 'b');

async function startWithImage(t: Test): Promise<TestService> {
  const service = await startTestService(t, { southboundWorkers: 2, minLogLevel: 1 });
  await mkdir(join(service.folder, 'static/plain'));
  await writeFile(join(service.folder, 'static/plain/file'), 'plain');
  await addImage(service, 'a/1', { readme: 'hello', big });
  return service;
}

interface Status {
  readonly transfers: { readonly total: number; readonly longest: readonly object[] };
  readonly workers: readonly { readonly pid: number; readonly connections: number; readonly since: string }[];
}

/** Lines of the access log with this in them, without their time. */
function access(log: readonly string[], part: string): string[] {
  return log.filter((line) => line.includes(part)).map((line) => line.trim().replace(/^\S+ info +/, ''));
}

const requests = 'image_service_http_requests_total';
const sent = 'image_service_sent_bytes_total';

t.test('the metrics of all processes add up, also when a worker is killed', async (t) => {
  const { north, south } = await startWithImage(t);
  const read = async (path: string) => t.equal((await ask(south, path)).status, 200);
  await withEach(process.pid, async () => {
    await read('/a/1/big');
    await read('/a/1/readme');
    await read('/plain/file');
  });
  const isTold = (wanted: number) => async () => sum(await metricsOf(north), requests, 'route="image"') === wanted;
  await waitFor('the reports', isTold(4));
  t.equal(sum(await metricsOf(north), sent, 'image="a/1"'), 2 * (big.length + 5));
  const before = await workersOf(process.pid);
  await killWorkers(process.pid, before.slice(0, 1));
  await withEach(process.pid, () => read('/a/1/readme'));
  await waitFor('more reports', isTold(6));

  const body = smallIso({ readme: 'x' });
  const headers = { accept: 'application/json' };
  t.equal((await ask(north, '/iso?name=new.iso', { method: 'PUT', body, headers })).status, 201);
  t.equal(
    (await ask(north, '/images?name=b&version=1&isoclient=b.iso', { method: 'PUT', body: 'no ISO', headers })).status,
    422,
  );
  await ask(north, '/microkernel?name=k&md5=00000000000000000000000000000000', { method: 'PUT', body: 'kernel' });
  const values = await metricsOf(north);
  t.equal(sum(values, sent, 'image="a/1"'), 2 * (big.length + 5) + 10);
  t.equal(sum(values, sent, 'image="none"', 'store="none"'), 10);
  t.equal(sum(values, requests, 'route="root"', 'status="200"'), 2);
  t.equal(sum(values, requests, 'route="/iso"', 'status="201"'), 1);
  t.equal(sum(values, requests, 'route="/images"', 'status="422"'), 1);
  t.equal(sum(values, 'image_service_upload_failures_total', 'reason="NOT_AN_ISO"'), 1);
  // Its status was 200 by then.
  t.equal(sum(values, 'image_service_upload_failures_total', 'reason="DIGEST_MISMATCH"'), 1);
  t.equal(sum(values, 'image_service_upload_failures_total'), 2);
  t.equal(sum(values, 'image_service_received_bytes_total', 'store="iso"'), body.length + 6);
  t.equal(sum(values, 'image_service_received_bytes_total', 'store="microkernel"'), 6);
  t.equal(values.get('image_service_images{status="OK"}'), 1);
  t.equal(values.get('image_service_workers'), 2);
  t.ok((values.get('image_service_worker_resident_memory_bytes') ?? 0) > 2e7);
});

t.test('the status shows the workers, and who reads what from them', async (t) => {
  const service = await startWithImage(t);
  const { north, south } = service;
  // More than the kernel takes by itself.
  const huge = Buffer.alloc(32 * 2 ** 20);
  await addImage(service, 'h/1', { huge });
  const status = async () => json(await ask(north, '/status')) as Status;
  const download = await begin(`${south}/h/1/huge`);
  await waitFor('the transfer', async () => (await status()).transfers.total === 1);
  const { transfers, workers } = await status();
  t.match(transfers.longest, [{ direction: 'send', client: '127.0.0.1', image: 'h/1', file: '/h/1/huge' }]);
  t.same(workers.map(({ pid }) => pid).sort(), (await workersOf(process.pid)).sort());
  t.same(workers.map(({ connections }) => connections).sort(), [0, 1]);
  for (const { since } of workers) t.match(since, /^\d{4}-.*Z$/);
  t.same(await finish(download), { bytes: huge.length, complete: true });
  await waitFor('its end', async () => (await status()).transfers.total === 0);
});

t.test('500 ranges of one file are one line of the access log', async (t) => {
  const { south, log } = await startWithImage(t);
  const connection = await Connection.open(south);
  for (let index = 1; index <= 500; index++) {
    connection.send(`GET /a/1/big HTTP/1.1\r\nHost: x\r\nRange: bytes=${index * 100}-${index * 100 + 99}\r\n\r\n`);
    await connection.until((received) => received.split('HTTP/1.1 206').length === index + 1 && received.endsWith('b'));
  }
  connection.socket.destroy();
  await waitFor('the line', () => access(log, '/a/1/big').length > 0);
  const [line, ...others] = access(log, '/a/1/big');
  t.match(line, /^127\.0\.0\.1 GET \/a\/1\/big 206 50000 bytes \d+ ms 500 requests$/);
  t.same(others, []);
});

t.test('what a worker has not told yet it tells when the service stops', async (t) => {
  const service = await startWithImage(t);
  const connection = await Connection.open(service.south);
  connection.send('GET /a/1/readme HTTP/1.1\r\nHost: x\r\nRange: bytes=0-1\r\n\r\n');
  await connection.until('206');
  await service.restart();
  t.match(access(service.log, '/a/1/readme'), [/ 206 2 bytes \d+ ms$/]);
});

t.test('no secret is in the log', async (t) => {
  const { north, south, log } = await startWithImage(t);
  await ask(north, '/images?name=w&version=1&isoweb=http://me:secret@127.0.0.1:1/w.iso', { method: 'PUT' });
  await ask(north, '/images', {
    method: 'PUT',
    body: JSON.stringify({ name: 'v', version: '1', isoweb: 'ftp://me:secret@127.0.0.1:1/v.iso' }),
    headers: { 'content-type': 'application/json', authorization: 'Bearer secret', cookie: 'secret' },
  });
  await ask(north, 'http://me:secret@proxy/images');
  await ask(south, '/plain/file?token=secret');
  await ask(south, 'http://me:secret@proxy/plain/file');
  await waitFor('the lines', () => access(log, '/plain/file').length === 2);
  t.match(access(log, 'PUT /images').slice(1), [/PUT \/images\?… 202/, /PUT \/images 202/]);
  t.notMatch(log.join(''), /secret/);
});

t.test('the access log is at the level of information, and control characters cannot forge its lines', async (t) => {
  const service = await startTestService(t, { minLogLevel: 1 });
  await ask(service.north, '/a%0d%0aforged');
  await ask(service.south, '/a%0d%0aforged');
  await waitFor('the lines', () => service.log.filter((line) => line.includes('forged')).length === 2);
  for (const line of service.log) t.match(line, /^\S+Z info {5}[ -~]*\n$/);
});
