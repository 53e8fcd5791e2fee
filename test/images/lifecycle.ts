import { stat, symlink } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { temporaryOf } from '../../lib/images/durable.js';
import type { Fact, Tell } from '../../lib/images/facts.js';
import { Image } from '../../lib/images/image.js';
import { Lifecycle } from '../../lib/images/lifecycle.js';
import type { ImageRecord } from '../../lib/images/record.js';
import type { Store } from '../../lib/images/store.js';
import { farEnd } from '../fixtures/download-server.js';
import { FakeDriver, openParts } from '../fixtures/images-setup.js';
import { smallIso } from '../fixtures/small-iso.js';

const broken = new ServiceError('BROKEN_ISO', 'The directory of the ISO leads nowhere');
const preparing: ImageRecord = { id: '1', name: 'ubuntu', version: '14.04', iso: 'u.iso', status: 'preparing' };

async function setUp(t: Test, record: ImageRecord = preparing) {
  const folder = t.testdir({ iso: { 'u.iso': 'content' } });
  const driver = new FakeDriver();
  const parts = { ...(await openParts(folder)), driver };
  await parts.inventory.put(record);
  const image = new Image(record);
  image.update(record);
  const stored: string[] = [];
  const told: Fact[] = [];
  const tell: Tell = (fact) => Promise.resolve(void told.push(fact));
  const life = new Lifecycle({ ...parts, tell }, (name) => Promise.resolve(void stored.push(name)));
  return { ...parts, life, image, stored, told, file: join(folder, 'inventory.json') };
}

async function receive(store: Store, name: string, text: string): Promise<void> {
  const stream = Readable.from([Buffer.from(text)]);
  const incoming = await store.receive(name);
  await incoming.take(
    () => ({ stream, complete: () => Promise.resolve() }),
    () => undefined,
  );
}

/** What the record of an image says of its mount. */
const shown = {
  os: { family: 'generic', architectures: [], certainty: 'inspection' },
  boot: [],
  driver: 'direct',
  view: 'iso9660',
} as const;

/** Something that a test opens when it wants. */
function gate() {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open: () => open(), opened };
}

t.test(
  'an image that is prepared is OK, in memory and on the disk, and what was wrong before is forgotten',
  async (t) => {
    const { life, image, inventory, driver, store, said } = await setUp(t, { ...preparing, error: 'old', own: 'kept' });
    await life.bringUp(image);
    const record = { ...preparing, status: 'OK', bytes: 0, own: 'kept', ...shown };
    t.same(image.record, record);
    t.same(inventory.get('1'), record);
    t.not(image.tree, undefined);
    t.match(driver.sources, [{ path: store.pathOf('u.iso') }]);
    t.match(said, [/ info .*image ubuntu 14\.04: OK \(direct, iso9660, 0 bytes, before: old\)/]);
  },
);

t.test('an image whose ISO cannot be served has failed, says why, and the log says it too', async (t) => {
  const { life, image, inventory, driver, said } = await setUp(t);
  driver.before = () => Promise.reject(broken);
  await life.bringUp(image);
  const record = { ...preparing, status: 'failed', error: broken.message };
  t.same(image.record, record);
  t.same(inventory.get('1'), record);
  t.equal(image.tree, undefined);
  t.match(said, [/ error .*image ubuntu 14\.04: failed.*leads nowhere/]);
});

t.test('an error that is ours is in the log with all it says, and in the record without', async (t) => {
  const { life, image, driver, said } = await setUp(t);
  driver.before = () => Promise.reject(new Error('EIO, read /srv/secret'));
  await life.bringUp(image);
  t.match(image.record, { status: 'failed', error: 'Something went wrong in the service; its log says what' });
  t.ok(said.some((line) => line.includes('EIO, read /srv/secret')));
});

t.test('the driver is told the digest of an ISO that came through the service', async (t) => {
  const { life, image, driver, store } = await setUp(t);
  await receive(store, 'u.iso', 'new');
  await life.prepare(image);
  const digest = createHash('sha256').update('new').digest('hex');
  const [source] = driver.sources;
  const stats = await stat(store.pathOf('u.iso'), { bigint: true });
  t.equal(source?.path, store.pathOf('u.iso'));
  t.equal(source?.digest?.(stats), digest);
  for (const time of ['mtimeNs', 'ctimeNs'] as const) {
    const { size, mtimeNs, ctimeNs } = stats;
    const other = { size, mtimeNs, ctimeNs, [time]: stats[time] + 1n };
    t.equal(source?.digest?.(other), undefined, `of another file by now: ${time}`);
  }
});

t.test('a file elsewhere on the server never gets the digest of a stored file of its name', async (t) => {
  const elsewhere = join(t.testdir({ 'u.iso': 'elsewhere' }), 'u.iso');
  const { life, image, driver, store } = await setUp(t, { ...preparing, iso: elsewhere });
  await receive(store, 'u.iso', 'another');
  await life.prepare(image);
  t.same(driver.sources, [{ id: '1', path: elsewhere, view: 'auto' }]);
});

t.test('an image that is deleted while it is prepared is let go of and not written any more', async (t) => {
  const { life, image, driver, inventory } = await setUp(t);
  const { open, opened } = gate();
  driver.before = () => opened;
  const over = life.bringUp(image);
  while (driver.sources.length === 0) await turn();
  await inventory.remove('1');
  image.end();
  open();
  await over;
  t.same(driver.unmounted, [0]);
  t.equal(image.tree, undefined);
  t.same(inventory.all(), []);
});

t.test('an image that is deleted while its ISO turns out to be broken does not come back as failed', async (t) => {
  const { life, image, driver, inventory } = await setUp(t);
  driver.before = async () => {
    await inventory.remove('1');
    image.end();
    throw broken;
  };
  await life.bringUp(image);
  t.same(inventory.all(), []);
});

t.test('an image that is deleted while its new ISO turns out to be broken does not come back either', async (t) => {
  const { life, image, driver, inventory } = await setUp(t);
  await life.bringUp(image);
  driver.before = async () => {
    image.leaving = true;
    await inventory.remove('1');
    throw broken;
  };
  await life.renew(image);
  t.same(inventory.all(), []);
});

t.test(
  'when an ISO has been downloaded, the other images that are made from it are told, once it is there',
  async (t) => {
    const far = await farEnd(t, (_, response) => response.end(smallIso({ which: 'far' })));
    const source = { kind: 'isoweb', value: `${far.url}/u.iso` } as const;
    const { life, image, store, stored } = await setUp(t, { ...preparing, status: 'downloading iso', source });
    await life.bringUp(image, await store.receive('u.iso'));
    t.equal(image.record.status, 'OK');
    t.same(stored, ['u.iso']);
  },
);

t.test('when the disk is full the image is served all the same, and the log says that nothing was saved', async (t) => {
  const { life, image, inventory, file, said } = await setUp(t);
  await symlink('/dev/full', temporaryOf(file));
  await life.bringUp(image);
  t.equal(image.record.status, 'OK');
  t.not(image.tree, undefined);
  t.equal(inventory.get('1')?.status, 'preparing');
  t.ok(said.some((line) => / error .*ubuntu 14\.04: its record could not be saved/.test(line)));
});

t.test('a record that has not changed is not written again', async (t) => {
  const { life, image, file } = await setUp(t, { ...preparing, status: 'OK', ...shown, bytes: 0 });
  const before = await stat(file, { bigint: true });
  image.update({ ...image.record, status: 'preparing' });
  await life.prepare(image);
  t.equal(image.record.status, 'OK');
  t.equal((await stat(file, { bigint: true })).ino, before.ino);
});

t.test('a replaced ISO is served from the new mount, and the old one is let go of', async (t) => {
  const { life, image, driver } = await setUp(t);
  await life.bringUp(image);
  await life.renew(image);
  t.same(driver.unmounted, [0]);
  t.match(image.record, { status: 'OK', bytes: 1 });
});

t.test('an ISO that was replaced by a bad one leaves the image as it was, with the reason', async (t) => {
  const { life, image, driver, inventory } = await setUp(t);
  await life.bringUp(image);
  const { tree } = image;
  driver.before = () => Promise.reject(broken);
  await life.renew(image);
  t.equal(image.tree, tree);
  t.same(driver.unmounted, []);
  const error = /^The ISO was replaced by a file that cannot be served: The directory/;
  t.match(image.record, { status: 'OK', bytes: 0, error });
  t.match(inventory.get('1'), { status: 'OK', error });
  driver.before = () => Promise.resolve();
  await life.renew(image);
  t.equal(image.record.error, undefined, 'and a good one makes it forgotten');
});

t.test('a failed image of which a good ISO arrives is served by the other processes too', async (t) => {
  const { life, image, driver, told, inventory } = await setUp(t);
  driver.before = () => Promise.reject(broken);
  await life.bringUp(image);
  t.match(told.at(-1), { key: '1', value: undefined }, 'nobody serves it');
  await life.renew(image);
  t.match(image.record, { status: 'failed', error: /^The ISO was replaced by a file that cannot be served: / });
  t.match(inventory.get('1'), { status: 'failed' });
  t.match(told.at(-1), { key: '1', value: undefined });
  driver.before = () => Promise.resolve();
  await life.renew(image);
  t.match(image.record, { status: 'OK', error: undefined });
  t.match(told.at(-1), { key: '1', value: { name: 'ubuntu' } });
});

t.test('of two replacements in a row the later one is served, however long the first takes', async (t) => {
  const { life, image, driver } = await setUp(t);
  await life.bringUp(image);
  const { open, opened } = gate();
  driver.before = () => (driver.sources.length === 2 ? opened : Promise.resolve());
  const both = Promise.all([life.renew(image), life.renew(image)]);
  for (let count = 0; count < 20; count++) await turn();
  open();
  await both;
  t.match(image.record, { status: 'OK', bytes: 2 });
  t.same(driver.unmounted, [0, 1]);
});

t.test('a download whose URL is no longer allowed fails with words and frees the name', async (t) => {
  const source = { kind: 'isoweb', value: 'file:///etc/passwd' } as const;
  const { life, image, store } = await setUp(t, { ...preparing, status: 'downloading iso', source });
  await life.bringUp(image, await store.receive('u.iso'));
  t.match(image.record, { status: 'failed', error: /download URL is not allowed/ });
  await t.resolves(store.receive('u.iso'));
});
