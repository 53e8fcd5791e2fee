import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { type TestService, startTestService } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

/** A far end that has begun to send an ISO and sends the rest when it is told to. */
async function slowFarEnd(t: Test): Promise<{ url: string; finish: () => void }> {
  const iso = smallIso({ readme: 'hello' });
  let finish: () => void = () => undefined;
  const server = createServer((_request, response) => {
    response.writeHead(200, { 'Content-Length': iso.length });
    response.write(iso.subarray(0, 1000));
    finish = () => response.end(iso.subarray(1000));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/w.iso`, finish: () => finish() };
}

async function startDownloading(t: Test, settings = {}): Promise<{ service: TestService; finish: () => void }> {
  const service = await startTestService(t, settings);
  const { url, finish } = await slowFarEnd(t);
  const answer = await ask(service.north, `/images?name=w&version=1&isoweb=${url}`, { method: 'PUT' });
  t.match(json(answer), { status: 'downloading iso' });
  return { service, finish };
}

t.test('a request below an image that is still downloading waits for it', async (t) => {
  const { service, finish } = await startDownloading(t);
  const waiting = ['/w/1/readme', '/W/1/README', '/w/1/?format=text'].map((path) => ask(service.south, path));
  const outside = await ask(service.south, '/w/2/readme');
  t.equal(outside.status, 404, 'another version does not wait');
  finish();
  const answers = await Promise.all(waiting);
  t.same(
    answers.map(({ status, text }) => [status, text]),
    [
      [200, 'hello'],
      [200, 'hello'],
      [200, 'readme\n'],
    ],
  );
});

t.test('an image that is not ready in time is answered 503 with Retry-After, never 404', async (t) => {
  const { service } = await startDownloading(t, { southboundWait: 50 });
  const answer = await ask(service.south, '/w/1/readme');
  t.equal(answer.status, 503);
  t.match(answer.headers['retry-after'], /^\d+$/);
  t.notMatch((await ask(service.south, '/?format=text')).text, /w\//, 'it is not listed yet');
});

t.test('those who wait for an image that is deleted, or fails, get 404', async (t) => {
  const { service } = await startDownloading(t);
  const waiting = ask(service.south, '/w/1/readme');
  t.equal((await ask(service.north, '/images?name=w&version=1', { method: 'DELETE' })).status, 200);
  t.equal((await waiting).status, 404);
});

t.test('an image covers a folder of its name, and a failed one does not', async (t) => {
  const service = await startTestService(t);
  const folder = join(service.folder, 'static');
  await mkdir(join(folder, 'n/1'), { recursive: true });
  await writeFile(join(folder, 'n/1/below'), 'below');
  await writeFile(join(folder, 'n/beside'), 'beside');
  t.equal((await ask(service.south, '/n/1/below')).text, 'below');
  await writeFile(join(folder, 'iso/a.iso'), smallIso({ readme: 'hello' }));
  const headers = { prefer: 'wait=10' };
  await ask(service.north, '/images?name=n&version=1&isostore=a.iso', { method: 'PUT', headers });
  t.equal((await ask(service.south, '/n/1/below')).status, 404);
  t.equal((await ask(service.south, '/n/1/readme')).text, 'hello');
  t.equal((await ask(service.south, '/n/beside')).text, 'beside');
  t.equal((await ask(service.south, '/n/?format=text')).text, '1/\nbeside\n');
  await ask(service.north, '/images?name=n&version=1', { method: 'DELETE' });
  t.equal((await ask(service.south, '/n/1/below')).text, 'below');
});
