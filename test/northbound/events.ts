import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { farEnd } from '../fixtures/download-server.js';
import { beginUpload, writePart } from '../fixtures/e2e-upload.js';
import { EventClient } from '../fixtures/event-client.js';
import { startTestService, type TestService } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

interface Progress {
  readonly name: string;
  readonly bytes: number;
  readonly total?: number;
  readonly image?: string;
  readonly ended: boolean;
}

async function startRead(t: Test): Promise<TestService & { client: EventClient }> {
  const service = await startTestService(t);
  const client = await EventClient.open(service.north);
  t.equal(client.status, 200);
  await client.begun();
  t.teardown(() => client.close());
  return { ...service, client };
}

function statuses(client: EventClient): string[] {
  return client.dataOf('image').map((record) => (record as { status: string }).status);
}

t.test('the life of an image is told by its record, as GET /images shows it, until it is removed', async (t) => {
  const { north, client } = await startRead(t);
  const headers = { prefer: 'wait=10' };
  const body = smallIso({ readme: 'hello' });
  await ask(north, '/images?name=a&version=1&isoclient=a.iso', { method: 'PUT', body, headers });
  await client.until('OK', () => statuses(client).includes('OK'));
  t.same(statuses(client), ['preparing', 'OK']);
  t.same(client.dataOf('image').at(-1), (json(await ask(north, '/images')) as unknown[])[0]);
  const deleted = json(await ask(north, '/images?name=a&version=1', { method: 'DELETE' }));
  await client.until('its end', () => client.dataOf('image-removed').length === 1);
  t.same(client.dataOf('image-removed'), [deleted]);
});

t.test('a failed image tells why, and the password of its source is told to nobody', async (t) => {
  const { north, client } = await startRead(t);
  const far = await farEnd(t, (_, response) => response.writeHead(404).end());
  const source = encodeURIComponent(far.url.replace('http://', 'http://user:secret@'));
  await ask(north, `/images?name=a&version=1&isoweb=${source}/a.iso`, { method: 'PUT' });
  await client.until('failed', () => statuses(client).includes('failed'));
  t.match(client.dataOf('image').at(-1), { status: 'failed', error: /404/ });
  t.notMatch(JSON.stringify(client.events), 'secret');
});

t.test('files are told as GET /iso and GET /microkernel show them, whoever brings and takes them', async (t) => {
  const { north, client, folder } = await startRead(t);
  for (const store of ['iso', 'microkernel']) {
    const told = (name: string) => client.dataOf(name).filter((data) => (data as { store: string }).store === store);
    await ask(north, `/${store}?name=a`, { method: 'PUT', body: 'text' });
    await client.until('the file', () => told('file').length === 1);
    const [record] = json(await ask(north, `/${store}`)) as object[];
    t.same(told('file'), [{ store, ...record }]);
    await ask(north, `/${store}?name=a`, { method: 'PUT', body: 'other text' });
    await client.until('its replacement', () => told('file').length === 2);
    t.match(told('file')[1], { store, name: 'a', bytes: 10, sha256: /^[0-9a-f]{64}$/ });
    await ask(north, `/${store}?name=a`, { method: 'DELETE' });
    await client.until('its end', () => told('file-removed').length === 1);
    t.same(told('file-removed'), [{ store, name: 'a' }]);
  }
  await writeFile(join(folder, 'static/iso/by-hand'), 'x');
  await client.until('a file by hand', () => client.dataOf('file').length === 5);
  t.match(client.dataOf('file').at(-1), { store: 'iso', name: 'by-hand' });
  await ask(north, '/iso?name=by-hand', { method: 'DELETE' });
  await client.until('its end', () => client.dataOf('file-removed').length === 3);
  await writeFile(join(folder, 'static/iso/by-hand'), 'x');
  await client.until('again', () => client.dataOf('file').length === 6);
  await rm(join(folder, 'static/iso/by-hand'));
  await client.until('its end by hand', () => client.dataOf('file-removed').length === 4);
});

t.test('an upload tells how far it is, and that it has broken off', async (t) => {
  const { north, client } = await startRead(t);
  const progress = () => client.dataOf('progress') as Progress[];
  const upload = beginUpload(north, '/iso?name=a', 1000);
  await writePart(upload, Buffer.alloc(100));
  await client.until('progress', () => progress().length > 0);
  t.match(progress()[0], { store: 'iso', name: 'a', bytes: 100, total: 1000, rate: Number, ended: false });
  upload.request.destroy();
  await upload.ended;
  await client.until('its end', () => progress().at(-1)?.ended === true);
  t.match(progress().at(-1), { name: 'a', bytes: 100, total: 1000 });
  t.same(client.dataOf('file'), []);
});

t.test('a download tells how far it is, and of which image, twice a second at most', async (t) => {
  const { north, client } = await startRead(t);
  const progress = () => client.dataOf('progress') as Progress[];
  const iso = smallIso({ readme: 'hello', big: Buffer.alloc(100_000) });
  let isEnough = false;
  let pieces = 0;
  const far = await farEnd(t, (_, response) => {
    response.writeHead(200, { 'Content-Length': iso.length });
    const timer = setInterval(() => {
      if (isEnough) clearInterval(timer);
      if (isEnough) response.end(iso.subarray(pieces * 100));
      else response.write(iso.subarray(pieces * 100, ++pieces * 100));
    }, 5);
  });
  const added = await ask(north, `/images?name=a&version=1&isoweb=${far.url}/a.iso`, { method: 'PUT' });
  await client.until('progress', () => progress().length >= 2);
  const told = progress().length;
  isEnough = true;
  const { id } = json(added) as { id: string };
  t.match(progress()[0], { store: 'iso', name: 'a.iso', image: id, total: iso.length, ended: false });
  t.ok(told < pieces / 10, `${told} for ${pieces} pieces`);
  await client.until('OK', () => statuses(client).includes('OK'));
  await client.until('its end', () => progress().at(-1)?.ended === true);
  t.match(progress().at(-1), { bytes: iso.length });
});

t.test('who comes again has missed nothing, and after a restart is told to load everything anew', async (t) => {
  const service = await startTestService(t);
  const first = await EventClient.open(service.north);
  await first.begun();
  first.close();
  for (const name of ['a', 'b']) await ask(service.north, `/iso?name=${name}`, { method: 'PUT', body: 'x' });
  const again = await EventClient.open(service.north, '/events', first.lastId);
  await again.until('both', () => again.dataOf('file').length === 2);
  t.match(again.dataOf('file'), [{ name: 'a' }, { name: 'b' }]);
  const restarted = await service.restart();
  await waitFor('the end of the first run', () => again.isClosed);
  const later = await EventClient.open(restarted.north, '/events', again.lastId);
  await later.until('reset', () => later.events.length > 0);
  t.match(later.events, [{ name: 'reset' }]);
  later.close();
});

t.test('the stop waits for no reader, however long requests in flight may take', async (t) => {
  const { service, north } = await startTestService(t, { stopTimeout: 2 ** 30 });
  const clients = await Promise.all([1, 2, 3].map(() => EventClient.open(north)));
  await Promise.all(clients.map((client) => client.begun()));
  await service.stop();
  await waitFor('their end', () => clients.every(({ isClosed }) => isClosed));
  t.pass('it has stopped');
});

t.test('events are for GET and HEAD, without parameters', async (t) => {
  const { north } = await startTestService(t);
  t.match(await ask(north, '/events?since=1'), { status: 400 });
  t.match(await ask(north, '/events', { method: 'POST' }), { status: 405, headers: { allow: 'GET, HEAD, OPTIONS' } });
  t.match(await ask(north, '/events', { method: 'HEAD' }), { status: 200, text: '', complete: true });
});
