import { setTimeout as sleep } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';
import { Image } from '../../lib/images/image.js';
import type { ImageRecord, Status } from '../../lib/images/record.js';
import { FakeDriver, patient } from '../fixtures/images-setup.js';

function record(status: Status): ImageRecord {
  return { id: '1', name: 'ubuntu', version: '14.04', iso: 'u.iso', status };
}

function imageOf(status: Status): Image {
  const image = new Image(record('preparing'));
  image.update(record(status));
  return image;
}

t.test('an image exists for clients from its first record until it is deleted', (t) => {
  const image = new Image(record('preparing'));
  t.equal(image.listed, false);
  image.update(record('preparing'));
  t.equal(image.listed, true);
  t.equal(image.gone.aborted, false);
  image.end();
  t.equal(image.listed, false);
  t.equal(image.gone.aborted, true);
  t.end();
});

t.test('only an image that is OK and mounted has files', async (t) => {
  const image = imageOf('OK');
  t.equal(image.tree, undefined);
  const mount = await new FakeDriver().mount({ id: 'x', path: 'x' });
  image.serve(mount);
  t.equal(image.tree, mount.tree);
  for (const status of ['downloading iso', 'preparing', 'failed'] as const) {
    image.update(record(status));
    t.equal(image.tree, undefined, status);
  }
});

t.test('a mount is let go of when another takes its place, and at the end', async (t) => {
  const driver = new FakeDriver();
  const image = imageOf('OK');
  image.serve(await driver.mount({ id: 'x', path: 'a' }));
  t.same(driver.unmounted, []);
  image.serve(await driver.mount({ id: 'x', path: 'b' }));
  t.same(driver.unmounted, [0]);
  image.end();
  t.same(driver.unmounted, [0, 1]);
});

t.test('while it downloads and prepares an image is pending, then not', (t) => {
  t.equal(imageOf('downloading iso').pending, true);
  t.equal(imageOf('preparing').pending, true);
  t.equal(imageOf('OK').pending, false);
  t.equal(imageOf('failed').pending, false);
  t.end();
});

t.test('waiting ends when the image is OK or failed, and not before', async (t) => {
  for (const last of ['OK', 'failed'] as const) {
    const image = imageOf('downloading iso');
    let isOver = false;
    const waiting = image.settled(5000, patient).then(() => (isOver = true));
    await sleep(5);
    image.update(record('preparing'));
    await sleep(5);
    t.equal(isOver, false);
    image.update(record(last));
    await waiting;
    t.equal(image.record.status, last);
    await image.settled(5000, patient);
  }
});

t.test('waiting gives up when the time is over, also when memory is collected meanwhile', async (t) => {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect !== 'function') throw new TypeError('Memory cannot be collected');
  const image = imageOf('preparing');
  const waiting = [0, 30, 60].map((milliseconds) => image.settled(milliseconds, new AbortController().signal));
  for (let count = 0; count < 3; count++) {
    await sleep(5);
    Reflect.apply(collect, undefined, []);
  }
  const awake = setTimeout(() => undefined, 5000);
  await Promise.all(waiting);
  clearTimeout(awake);
  t.equal(image.pending, true);
});

t.test('waiting for longer than a timer can last does not end at once', async (t) => {
  const image = imageOf('preparing');
  const client = new AbortController();
  let isOver = false;
  const waiting = image.settled(2 ** 32, client.signal).then(() => (isOver = true));
  await sleep(20);
  t.equal(isOver, false);
  client.abort();
  await waiting;
});

t.test('waiting ends when the client leaves, or has left before', async (t) => {
  const image = imageOf('preparing');
  const client = new AbortController();
  const waiting = image.settled(60_000, client.signal);
  client.abort();
  await waiting;
  await image.settled(60_000, client.signal);
  t.equal(image.pending, true);
});

t.test('waiting ends when the image is deleted, or was deleted before', async (t) => {
  const image = imageOf('preparing');
  const waiting = image.settled(60_000, patient);
  image.end();
  await waiting;
  await image.settled(60_000, patient);
  t.equal(image.listed, false);
});

t.test('a thousand machines may wait for one image without a warning', async (t) => {
  const warnings: Error[] = [];
  const listener = (warning: Error) => warnings.push(warning);
  process.on('warning', listener);
  t.teardown(() => process.off('warning', listener));
  const image = imageOf('preparing');
  const waiting = Array.from({ length: 1000 }, () => image.settled(60_000, new AbortController().signal));
  await sleep(10);
  image.update(record('OK'));
  await Promise.all(waiting);
  await sleep(10);
  t.same(warnings, []);
});

t.test('the log calls an image by its name and version', (t) => {
  t.equal(imageOf('OK').title, 'ubuntu 14.04');
  t.end();
});
