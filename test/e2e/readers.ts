import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type IncomingMessage, get } from 'node:http';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { eventually } from '../fixtures/http-server.js';
import { type TestService, startTestService } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

// Far more than the buffers of a connection hold.
const oldKernel = randomBytes(20_000_000);
const newKernel = randomBytes(3_000_000);
const oldIso = smallIso({ kernel: oldKernel });

/** A node that has begun to read a file and reads on only when it is told to. @returns tells it, and gives the bytes */
async function slowNode(t: Test, url: string): Promise<() => Promise<Buffer>> {
  const [response] = (await once(get(url, { agent: false }), 'response')) as [IncomingMessage];
  t.teardown(() => response.destroy());
  t.equal(response.statusCode, 200);
  return async () => Buffer.concat(await response.toArray());
}

/** A service with an image `a/1` of `a.iso`, and a node in the middle of its kernel and one in the middle of the ISO. */
async function withNodes(t: Test) {
  const service = await startTestService(t);
  const path = '/images?name=a&version=1&isoclient=a.iso';
  t.equal((await ask(service.north, path, { method: 'PUT', body: oldIso })).status, 200);
  const inImage = await slowNode(t, `${service.south}/a/1/kernel`);
  const inStore = await slowNode(t, `${service.south}/iso/a.iso`);
  const finish = async () => {
    t.ok((await inImage()).equals(oldKernel), 'the node in the image has all of the old file');
    t.ok((await inStore()).equals(oldIso), 'and so has the one in the store');
  };
  return { service, finish };
}

/** Nothing that is not served is open any more. @param images how many images are served */
async function checkClosed(t: Test, { folder }: TestService, images: number): Promise<void> {
  const isClosed = () => descriptorsBelow(folder).then((open) => open === images);
  t.ok(await eventually(isClosed), 'no other file is open');
}

t.test('nodes in the middle of an ISO that is replaced get the old one, and the next the new one', async (t) => {
  const { service, finish } = await withNodes(t);
  const replaced = { method: 'PUT', body: smallIso({ kernel: newKernel }), headers: { accept: 'application/json' } };
  t.equal((await ask(service.north, '/iso?name=a.iso', replaced)).status, 200);
  const isNew = async () => (await ask(service.south, '/a/1/kernel')).body.equals(newKernel);
  t.ok(await eventually(isNew), 'the image shows the new file');
  await finish();
  t.ok(await isNew());
  await checkClosed(t, service, 1);
});

t.test('nodes in the middle of an ISO that something else replaces get it whole, and so do the next', async (t) => {
  const { service, finish } = await withNodes(t);
  await ask(service.north, '/iso?name=a.iso', { method: 'PUT', body: 'no ISO at all' });
  await finish();
  t.ok((await ask(service.south, '/a/1/kernel')).body.equals(oldKernel));
  t.match(json(await ask(service.north, '/images')), [{ status: 'OK', error: /./ }]);
});

t.test('nodes in the middle of an image that is deleted with its ISO get all, and the next 404', async (t) => {
  const { service, finish } = await withNodes(t);
  const remove = async (path: string) => (await ask(service.north, path, { method: 'DELETE' })).status;
  t.equal(await remove('/iso?name=a.iso'), 409, 'an ISO that an image needs');
  t.equal(await remove('/images?name=a&version=1'), 200);
  t.equal(await remove('/iso?name=a.iso'), 200);
  for (const path of ['/a/1/kernel', '/iso/a.iso']) t.equal((await ask(service.south, path)).status, 404, path);
  await finish();
  await checkClosed(t, service, 0);
});
