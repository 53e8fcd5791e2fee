import { mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { type Answer, ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { run } from '../fixtures/process.js';
import { startTestService } from '../fixtures/service.js';
import { waitFor } from '../fixtures/wait.js';

const ready = { status: 'ok' };

function stateOf(answer: Answer): [number, unknown] {
  return [answer.status, json(answer)];
}

t.test('a service that runs is alive and ready, and says so to GET and HEAD alone', async (t) => {
  const { north, folder } = await startTestService(t, { minFreeBytes: 1 });
  for (const path of ['/healthz', '/readyz']) {
    const answer = await ask(north, path);
    t.same(stateOf(answer), [200, ready], path);
    t.match(answer.headers, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    t.match(await ask(north, path, { method: 'HEAD' }), { status: 200, text: '' });
    t.match(await ask(north, path, { method: 'POST' }), { status: 405, headers: { allow: 'GET, HEAD, OPTIONS' } });
    t.match(stateOf(await ask(north, `${path}?x=1`)), [400, { code: 'BAD_REQUEST' }]);
  }
  for (const store of ['iso', 'common']) {
    t.same(await readdir(join(folder, 'static', store, '.image-service')), [], 'nothing is left in the store');
  }
});

t.test('with too little room it is alive, not ready, and names the stores', async (t) => {
  const { north } = await startTestService(t, { minFreeBytes: Number.MAX_SAFE_INTEGER });
  t.same(stateOf(await ask(north, '/healthz')), [200, ready]);
  const answer = await ask(north, '/readyz');
  t.match(stateOf(answer), [503, { status: 'unavailable' }]);
  t.match(json(answer), {
    reasons: [
      /^the store iso has \d+ bytes free, and minFreeBytes is 9007199254740991$/,
      /^the store microkernel has \d+ bytes free, and minFreeBytes is 9007199254740991$/,
    ],
  });
  t.match(await ask(north, '/readyz', { method: 'HEAD' }), { status: 503, text: '' });
});

t.test('a store that cannot be written makes it unready, without a host path, until it can', async (t) => {
  const { north, folder } = await startTestService(t, { minFreeBytes: 0 });
  const store = join(folder, 'static/common');
  await rename(store, `${store}-away`);
  const answer = await ask(north, '/readyz');
  const reasons = ['the store microkernel cannot be written: its folder is missing'];
  t.same(stateOf(answer), [503, { status: 'unavailable', reasons }]);
  await mkdir(store);
  await rename(join(`${store}-away`, '.image-service'), join(store, '.image-service'));
  await waitFor('ready', async () => (await ask(north, '/readyz')).status === 200);
});

t.test('a disk that hangs keeps nobody waiting, and is not asked again and again', async (t) => {
  const { north, folder } = await startTestService(t, { minFreeBytes: 0 });
  const probe = join(folder, 'static/iso/.image-service/probe.tmp');
  // Whoever opens a pipe to write waits until somebody opens it to read.
  await run('mkfifo', [probe]);
  const answers = await Promise.all(Array.from({ length: 20 }, () => ask(north, '/readyz')));
  const reasons = ['the store iso does not answer'];
  for (const answer of answers) t.same(stateOf(answer), [503, { status: 'unavailable', reasons }]);
  t.same(stateOf(await ask(north, '/healthz')), [200, ready]);
  t.equal((await ask(north, '/status')).status, 200, 'and threads are left for other disks');
  await run('cat', [probe]);
  await waitFor('ready', async () => (await ask(north, '/readyz')).status === 200);
});

t.test('where worker processes serve the machines, one of them has to live', async (t) => {
  const { north } = await startTestService(t, { southboundWorkers: 1, minFreeBytes: 0 });
  t.same(stateOf(await ask(north, '/readyz')), [200, ready]);
});

t.test('a service that is stopping says so to whoever is connected still', async (t) => {
  const { north, service } = await startTestService(t, { stopTimeout: 20_000 });
  const connection = await Connection.open(north);
  connection.send('PUT /iso?name=a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n01234');
  await connection.until('Uploaded 50 %');
  const stopped = service.stop();
  connection.send('56789GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  const received = await connection.closed;
  await stopped;
  t.match(received, /Upload finished!\n[^]*HTTP\/1\.1 503 [^]*"reasons": \[\s*"the service is stopping"\s*\]/);
});
