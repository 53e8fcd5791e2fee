import { statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ask, json, talk } from '../fixtures/client.js';
import { startTestService } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

interface Status {
  readonly stores: Readonly<Record<'iso' | 'microkernel', { readonly free: number; readonly used: number }>>;
}

async function statusOf(north: string): Promise<Status> {
  return json(await ask(north, '/status')) as Status;
}

t.test('the status says of each store how much room there is and how much its files take, in bytes', async (t) => {
  const { north, folder } = await startTestService(t);
  const answer = await ask(north, '/status');
  t.equal(answer.status, 200);
  t.match(answer.headers['content-type'], /^application\/json/);
  const { stores } = json(answer) as Status;
  t.same(Object.keys(stores), ['iso', 'microkernel']);
  t.equal(stores.iso.used, 0);
  const { bsize, blocks } = await statfs(folder);
  for (const { free } of Object.values(stores)) t.ok(Number.isInteger(free) && free > 0 && free < blocks * bsize);

  await ask(north, '/iso?name=x.iso', { method: 'PUT', body: Buffer.alloc(1000) });
  await writeFile(join(folder, 'static/iso/by-hand.iso'), Buffer.alloc(234));
  await ask(north, '/microkernel?name=vmlinuz', { method: 'PUT', body: Buffer.alloc(17) });
  const { stores: later } = await statusOf(north);
  t.equal(later.iso.used, 1234);
  t.equal(later.microkernel.used, 17);
});

t.test('what has arrived of a file that is not whole takes room, too, until it is deleted', async (t) => {
  const { north } = await startTestService(t);
  const header = 'PUT /iso?name=x.iso HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n';
  await talk(north, header + 'x'.repeat(500), 100);
  await waitFor('its end', async () => (await statusOf(north)).stores.iso.used === 500);
  await waitFor('its name', async () => (await ask(north, '/iso?name=x.iso', { method: 'DELETE' })).status === 200);
  t.equal((await statusOf(north)).stores.iso.used, 0);
});

t.test('the status takes no parameters and cannot be changed', async (t) => {
  const { north } = await startTestService(t);
  const asked = await ask(north, '/status?name=x');
  t.equal(asked.status, 400);
  t.match(json(asked), { code: 'BAD_REQUEST', message: /Unknown parameter "name"; allowed: none/ });
  const head = await ask(north, '/status', { method: 'HEAD' });
  t.equal(head.status, 200);
  t.equal(head.text, '');
  for (const method of ['PUT', 'POST', 'DELETE']) {
    const answer = await ask(north, '/status', { method });
    t.equal(answer.status, 405, method);
    t.equal(answer.headers.allow, 'GET, HEAD, OPTIONS');
  }
  t.equal((await ask(north, '/status/iso')).status, 404);
});

t.test('the status says what serves each image', async (t) => {
  const { north } = await startTestService(t);
  t.match(json(await ask(north, '/status')), { mount: { driver: 'direct', images: [] } });
  const headers = { prefer: 'wait=10' };
  const body = smallIso({ readme: 'hello' });
  await ask(north, '/images?name=a&version=1&isoclient=a.iso', { method: 'PUT', body, headers });
  const image = { name: 'a', version: '1', driver: 'direct', view: 'rockridge' };
  t.match(json(await ask(north, '/status')), { mount: { driver: 'direct', images: [image] } });
});
