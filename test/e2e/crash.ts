import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, readdir, writeFile } from 'node:fs/promises';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemCode } from '../../lib/errors.js';
import { ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { farEnd } from '../fixtures/download-server.js';
import { partsIn } from '../fixtures/leftovers.js';
import { smallIso } from '../fixtures/small-iso.js';
import { settledImage, sha256 } from '../fixtures/e2e-tools.js';
import { beginUpload, writePart } from '../fixtures/e2e-upload.js';
import { startProcess } from '../fixtures/process.js';
import type { TestProcess } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';
import { waitFor } from '../fixtures/wait.js';

async function put(base: string, path: string, body: Buffer | string): Promise<void> {
  const { status, complete, text } = await ask(base, path, { method: 'PUT', body });
  if (status > 299 || !complete) throw new Error(`${path}: ${status} ${text}`);
}

/** Kills the service as a power cut would, and starts it again on what is left. */
async function killed(t: Test, folder: string, service: TestProcess): Promise<TestProcess> {
  await service.end('SIGKILL');
  return startProcess(t, folder);
}

t.test('killed during the upload of an image, the service has neither image nor file', async (t) => {
  const folder = await temporaryFolder(t);
  const service = await startProcess(t, folder);
  const iso = smallIso({ kernel: randomBytes(500_000) });
  const upload = beginUpload(service.north, '/images?name=u&version=1&isoclient=u.iso', iso.length);
  await writePart(upload, iso.subarray(0, 400_000));
  await waitFor('a temporary file', async () => (await partsIn(folder)).length === 1);
  t.same(json(await ask(service.north, '/images')), []);
  t.equal((await ask(service.south, '/iso/u.iso')).status, 404);
  const again = await killed(t, folder, service);
  t.same(json(await ask(again.north, '/images')), []);
  t.same(json(await ask(again.north, '/iso')), []);
  t.equal((await ask(again.south, '/iso/u.iso')).status, 404);
  await put(again.north, '/images?name=u&version=1&isoclient=u.iso', iso);
  t.match(await settledImage(again.north, 'u'), { status: 'OK' });
  t.same(await partsIn(folder), []);
});

t.test('killed during a download, it is begun again and becomes OK', async (t) => {
  const folder = await temporaryFolder(t);
  const iso = smallIso({ kernel: 'Linux', big: randomBytes(1_000_000) });
  let asked = 0;
  const far = await farEnd(t, (_, response) => {
    response.writeHead(200, { 'Content-Length': iso.length });
    asked += 1;
    if (asked === 1) response.write(iso.subarray(0, 600_000));
    else response.end(iso);
  });
  const service = await startProcess(t, folder);
  await put(service.north, `/images?name=d&version=1&isoweb=${far.url}/d.iso`, '');
  await waitFor('a temporary file', async () => (await partsIn(folder)).length === 1);
  t.match(json(await ask(service.north, '/images')), [{ status: 'downloading iso' }]);
  const again = await killed(t, folder, service);
  t.match(await settledImage(again.north, 'd'), { status: 'OK' });
  t.equal(asked, 2);
  t.equal((await ask(again.south, '/d/1/kernel')).text, 'Linux');
  t.same(await partsIn(folder), []);
});

t.test('killed right after an answer, nothing that was answered is lost', async (t) => {
  const folder = await temporaryFolder(t);
  const iso = smallIso({ kernel: 'Linux' });
  let service = await startProcess(t, folder);
  await put(service.north, '/iso?name=a.iso', iso);
  service = await killed(t, folder, service);
  t.match(json(await ask(service.north, '/iso')), [{ name: 'a.iso', sha256: sha256(iso) }]);

  const added = await ask(service.north, '/images?name=a&version=1&isostore=a.iso', { method: 'PUT' });
  service = await killed(t, folder, service);
  const { id } = json(added) as { id: string };
  t.match(json(await ask(service.north, '/images')), [{ id, status: 'OK' }]);
  t.equal((await ask(service.south, '/a/1/kernel')).text, 'Linux');

  await put(service.north, '/images?name=b&version=1&isoclient=b.iso', iso);
  service = await killed(t, folder, service);
  t.match(json(await ask(service.north, '/images?name=b')), [{ iso: 'b.iso', status: 'OK' }]);

  await ask(service.north, '/images?name=a&version=1', { method: 'DELETE' });
  service = await killed(t, folder, service);
  t.match(json(await ask(service.north, '/images')), [{ name: 'b' }]);
  t.equal((await ask(service.south, '/a/1/kernel')).status, 404);

  t.equal((await ask(service.north, '/iso?name=a.iso', { method: 'DELETE' })).status, 200);
  service = await killed(t, folder, service);
  t.match(json(await ask(service.north, '/iso')), [{ name: 'b.iso' }]);

  await put(service.north, '/microkernel?name=k', 'kernel');
  service = await killed(t, folder, service);
  t.equal((await ask(service.south, '/common/k')).text, 'kernel');
});

t.test('an image keeps its validators over a kill, so that a node can go on where it was', async (t) => {
  const folder = await temporaryFolder(t);
  const service = await startProcess(t, folder);
  await put(service.north, '/images?name=v&version=1&isoclient=v.iso', smallIso({ kernel: 'Linux' }));
  await settledImage(service.north, 'v');
  const tags = async (south: string) =>
    Promise.all(['/v/1/kernel', '/iso/v.iso'].map(async (path) => (await ask(south, path)).headers.etag));
  const before = await tags(service.south);
  t.notOk(before.includes(undefined));
  t.same(await tags((await killed(t, folder, service)).south), before);
});

t.test('a broken inventory is kept aside, said loudly, and never overwritten', async (t) => {
  const folder = await temporaryFolder(t);
  const service = await startProcess(t, folder);
  await put(service.north, '/iso?name=a.iso', smallIso({ kernel: 'Linux' }));
  await put(service.north, '/images?name=a&version=1&isostore=a.iso', '');
  await service.end('SIGTERM');
  const whole = await readFile(join(folder, 'inventory.json'));
  const half = whole.subarray(0, whole.length / 2);
  await writeFile(join(folder, 'inventory.json'), half);
  const again = await startProcess(t, folder);
  t.match(again.output(), /critical.*inventory/);
  t.same(json(await ask(again.north, '/images')), []);
  await put(again.north, '/images?name=b&version=1&isostore=a.iso', '');
  const kept = (await readdir(folder)).filter((name) => name.startsWith('inventory.json.broken'));
  t.equal(kept.length, 1);
  t.ok((await readFile(join(folder, kept[0] ?? ''))).equals(half));
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  t.test(`${signal}: no new connections, and a download that is running ends whole`, async (t) => {
    const folder = await temporaryFolder(t);
    const service = await startProcess(t, folder);
    const bytes = randomBytes(40_000_000);
    await put(service.north, '/iso?name=big.iso', bytes);
    const [response] = (await once(get(`${service.south}/iso/big.iso`), 'response')) as [IncomingMessage];
    response.pause();
    const ended = service.end(signal);
    // One that the kernel has accepted for a port that is about to close is reset instead.
    for (const base of [service.north, service.south]) {
      await waitFor('refusing connections', () =>
        ask(base, '/').then(
          () => false,
          (error: unknown) => systemCode(error) === 'ECONNREFUSED',
        ),
      );
    }
    const chunks: Buffer[] = [];
    for await (const chunk of response) chunks.push(chunk as Buffer);
    t.equal(sha256(Buffer.concat(chunks)), sha256(bytes));
    t.match(await ended, { code: 0, signal: null });
  });
}

t.test('SIGTERM: an idle kept-alive connection does not hold up the end', async (t) => {
  const service = await startProcess(t, await temporaryFolder(t), { stopTimeout: 3_600_000 });
  const request = get(`${service.south}/`, { agent: false, headers: { Connection: 'keep-alive' } });
  request.on('error', () => undefined);
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  response.resume();
  t.match(await service.end('SIGTERM'), { code: 0 });
});

t.test('SIGTERM during an upload that takes longer than stopTimeout: the end, and nothing half', async (t) => {
  const folder = await temporaryFolder(t);
  const service = await startProcess(t, folder, { stopTimeout: 300 });
  const old = smallIso({ kernel: 'old' });
  await put(service.north, '/iso?name=a.iso', old);
  const upload = beginUpload(service.north, '/iso?name=a.iso', 9_000_000);
  await writePart(upload, randomBytes(1_000_000));
  await waitFor('a temporary file', async () => (await partsIn(folder)).length === 1);
  t.match(await service.end('SIGTERM'), { code: 0, signal: null });
  t.notMatch((await upload.ended).text, /finished/);
  const again = await startProcess(t, folder);
  t.ok((await ask(again.south, '/iso/a.iso')).body.equals(old));
  t.match(json(await ask(again.north, '/iso')), [{ name: 'a.iso', bytes: old.length }]);
});

t.test('SIGTERM during an upload that ends in time: it is answered and kept', async (t) => {
  const folder = await temporaryFolder(t);
  const service = await startProcess(t, folder);
  const bytes = randomBytes(2_000_000);
  const upload = beginUpload(service.north, '/iso?name=a.iso', bytes.length);
  await writePart(upload, bytes.subarray(0, 1_000_000));
  await waitFor('a temporary file', async () => (await partsIn(folder)).length === 1);
  const ended = service.end('SIGTERM');
  await waitFor('refusing connections', () =>
    ask(service.north, '/images').then(
      () => false,
      () => true,
    ),
  );
  upload.request.end(bytes.subarray(1_000_000));
  t.match(await upload.ended, { status: 200, text: /Upload finished!\n$/ });
  t.match(await ended, { code: 0 });
  t.ok((await readFile(join(folder, 'static/iso/a.iso'))).equals(bytes));
});

t.test('SIGTERM during a download from the web: the end, and it goes on at the next start', async (t) => {
  const folder = await temporaryFolder(t);
  const iso = smallIso({ kernel: 'Linux' });
  let asked = 0;
  const far = await farEnd(t, (_, response) => {
    asked += 1;
    response.writeHead(200, { 'Content-Length': iso.length });
    if (asked === 1) response.write(iso.subarray(0, 100));
    else response.end(iso);
  });
  const service = await startProcess(t, folder);
  await put(service.north, `/images?name=d&version=1&isoweb=${far.url}/d.iso`, '');
  await waitFor('a request', () => asked === 1);
  t.match(await service.end('SIGTERM'), { code: 0 });
  const again = await startProcess(t, folder);
  t.match(await settledImage(again.north, 'd'), { status: 'OK' });
});

t.test('a second signal ends the service at once', async (t) => {
  const folder = await temporaryFolder(t);
  const service = await startProcess(t, folder, { stopTimeout: 3_600_000 });
  const upload = beginUpload(service.north, '/iso?name=a.iso', 9_000_000);
  await writePart(upload, randomBytes(1_000_000));
  await waitFor('a temporary file', async () => (await partsIn(folder)).length === 1);
  const ended = service.end('SIGTERM');
  await waitFor('stopping', () => service.output().includes('SIGTERM: stopping'));
  service.child.kill('SIGINT');
  t.match(await ended, { code: 0 });
});

t.test('SIGTERM: whoever waits for an image is answered at once', async (t) => {
  const hour = 3_600_000;
  const service = await startProcess(t, await temporaryFolder(t), { southboundWait: hour, stopTimeout: hour });
  const { north, south } = service;
  const far = await farEnd(t, (_, response) => {
    response.writeHead(200, { 'Content-Length': 1_000_000 });
    response.write('the first bytes');
  });
  const adding = ask(north, `/images?name=d&version=1&isoweb=${far.url}/d.iso`, {
    method: 'PUT',
    headers: { Prefer: 'wait=3600' },
  });
  await waitFor('the image', async () => (json(await ask(north, '/images')) as unknown[]).length === 1);
  const waiting = await Connection.open(south);
  t.teardown(() => waiting.socket.destroy());
  // The answer to the first request tells that the second one, which came with it, is there too.
  waiting.send('HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET /d/1/kernel HTTP/1.1\r\nHost: x\r\n\r\n');
  await waiting.until('HTTP/1.1 200 OK');
  const ended = service.end('SIGTERM');
  const answer = await waiting.closed;
  t.match(answer, /HTTP\/1\.1 503 /);
  t.match(answer, /^Retry-After: \d+\r$/im);
  t.match(answer, /"code": "UNAVAILABLE"/);
  const added = await adding;
  t.equal(added.status, 202);
  t.match(json(added), { name: 'd', version: '1', status: 'downloading iso' });
  t.match(await ended, { code: 0, signal: null });
});
