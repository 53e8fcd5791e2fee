import { access, mkdir, readdir, readFile, rename, stat, symlink, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { temporaryOf } from '../../lib/images/durable.js';
import type { Image } from '../../lib/images/image.js';
import type { Images } from '../../lib/images/images.js';
import type { IncomingFile } from '../../lib/images/incoming-file.js';
import type { ImageSource } from '../../lib/images/record.js';
import type { Store } from '../../lib/images/store.js';
import { farEnd } from '../fixtures/download-server.js';
import { FakeDriver, patient, startImages, temporariesIn, textIn } from '../fixtures/images-setup.js';
import { smallIso } from '../fixtures/small-iso.js';

type Service = Awaited<ReturnType<typeof startImages>>;

const oneIso = smallIso({ which: 'one' });
const twoIso = smallIso({ which: 'two' });
const stored = (value: string): ImageSource => ({ kind: 'isostore', value });

/** A service's folder with an ISO in its store. */
async function newFolder(t: Test): Promise<string> {
  const folder = t.testdir({ iso: {} });
  await writeFile(join(folder, 'iso', 'one.iso'), oneIso);
  return folder;
}

/** Adds an image and waits until it is OK or failed, and that is on the disk. */
async function settled({ images, inventory }: Service, version: string, source: ImageSource): Promise<Image> {
  const image = await images.add('ubuntu', version, source);
  await image.settled(5000, patient);
  await inventory.settled();
  return image;
}

/** Waits until nothing goes on any more, and everything is on the disk. */
async function atRest({ images, inventory }: Service): Promise<void> {
  for (const { id } of images.list({})) await images.get({ id })?.settled(5000, patient);
  await inventory.settled();
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let count = 0; count < 500 && !(await condition()); count++) await sleep(10);
}

async function upload(store: Store, name: string, bytes: Buffer): Promise<void> {
  const incoming = await store.receive(name);
  const stream = Readable.from([Buffer.from(bytes)]);
  await incoming.take(
    () => ({ stream, complete: () => Promise.resolve() }),
    () => undefined,
  );
}

async function onDisk(folder: string): Promise<unknown> {
  return JSON.parse(await readFile(join(folder, 'inventory.json'), 'utf8'));
}

async function writeInventory(folder: string, ...images: object[]): Promise<void> {
  await writeFile(join(folder, 'inventory.json'), JSON.stringify({ images }));
}

/** A source that is the body of the request. */
function client(iso: string) {
  return { kind: 'isoclient', value: iso } as const;
}

t.test('an image from the store is OK, is served, and its record is the documented one with more', async (t) => {
  const folder = await newFolder(t);
  const service = await startImages(t, folder);
  const image = await settled(service, '14.04', stored('one.iso'));
  t.match(image.record, {
    id: /^[0-9a-f-]{36}$/,
    name: 'ubuntu',
    version: '14.04',
    iso: 'one.iso',
    status: 'OK',
    source: { kind: 'isostore', value: 'one.iso' },
    bytes: oneIso.length,
    createdAt: /^\d{4}-\d\d-\d\dT[\d:.]+Z$/,
  });
  t.equal(await textIn(image, 'which'), 'one');
  t.same(await onDisk(folder), { images: [image.record] });
});

t.test('an image goes from downloading iso over preparing to OK', async (t) => {
  let send: () => void = () => undefined;
  const far = await farEnd(t, (_, response) => (send = () => response.end(oneIso)));
  let mount: () => void = () => undefined;
  const driver = new FakeDriver(() => new Promise((resolve) => (mount = resolve)));
  const service = await startImages(t, t.testdir({}), { driver });
  const { images, inventory } = service;
  const image = await images.add('ubuntu', '1', { kind: 'isoweb', value: `${far.url}/x.iso` });
  const seen = [image.record.status];
  t.match(inventory.all(), [{ status: 'downloading iso', iso: 'x.iso' }]);
  await until(() => far.headers.length === 1);
  send();
  await until(() => driver.sources.length === 1);
  seen.push(image.record.status);
  t.match(inventory.all(), [{ status: 'preparing' }]);
  t.equal(image.tree, undefined);
  mount();
  await image.settled(5000, patient);
  seen.push(image.record.status);
  t.same(seen, ['downloading iso', 'preparing', 'OK']);
});

t.test('an ISO that cannot be served makes a failed image that stays and says why', async (t) => {
  const folder = await newFolder(t);
  await writeFile(join(folder, 'iso', 'cut.iso'), oneIso.subarray(0, 20 * 2048));
  const service = await startImages(t, folder);
  const { images } = service;
  const image = await settled(service, '1', stored('cut.iso'));
  t.match(image.record, { status: 'failed', error: /\w+ \w+/ });
  t.notMatch(image.record, { error: new RegExp(folder) });
  t.same(images.list({}), [image.record]);
  t.equal(images.at('ubuntu', '1', 'exact'), undefined, 'it has no place in the URL space');
});

t.test('of two that add one name and version at once exactly one wins', async (t) => {
  const service = await startImages(t, await newFolder(t));
  const { images } = service;
  const both = await Promise.allSettled([
    images.add('ubuntu', '1', stored('one.iso')),
    images.add('ubuntu', '1', stored('one.iso')),
  ]);
  t.match(
    both.filter((one) => one.status === 'rejected'),
    [{ reason: { code: 'EXISTS', message: 'Image already exists' } }],
  );
  t.equal(images.list({}).length, 1);
  await t.rejects(images.add('ubuntu', '1', stored('one.iso')), { code: 'EXISTS' });
  await images.add('ubuntu', '2', stored('one.iso'));
  await images.add('Ubuntu', '1', stored('one.iso'));
  t.equal(images.list({}).length, 3);
  await atRest(service);
});

t.test('what is refused leaves no image and gives the name free again', async (t) => {
  const folder = await newFolder(t);
  await writeFile(join(folder, 'iso', 'text.iso'), 'no ISO');
  const service = await startImages(t, folder, { localFolders: [join(folder, 'allowed')] });
  const { images, inventory } = service;
  const cases: [code: string, name: string, version: string, source: ImageSource][] = [
    ['BAD_REQUEST', 'iso', '1', stored('one.iso')],
    ['BAD_REQUEST', 'COMMON', '1', stored('one.iso')],
    ['BAD_REQUEST', 'ubuntu', '..', stored('one.iso')],
    ['BAD_REQUEST', '.', '1', stored('one.iso')],
    ['BAD_REQUEST', '', '1', stored('one.iso')],
    ['BAD_REQUEST', 'ubuntu', '', stored('one.iso')],
    ['BAD_REQUEST', 'ubuntu', 'a/b', stored('one.iso')],
    ['BAD_REQUEST', 'ubuntu', ' 1', stored('one.iso')],
    ['BAD_REQUEST', 'ubuntu', '1\n', stored('one.iso')],
    ['BAD_REQUEST', 'ubuntu', 'x'.repeat(256), stored('one.iso')],
    ['BAD_REQUEST', 'ubuntu', '1', stored('../inventory.json')],
    ['BAD_REQUEST', 'ubuntu', '1', { kind: 'isolocal', value: 'relative.iso' }],
    ['BAD_REQUEST', 'ubuntu', '1', { kind: 'isoweb', value: 'file:///etc/passwd' }],
    ['NOT_FOUND', 'ubuntu', '1', stored('missing.iso')],
    ['NOT_AN_ISO', 'ubuntu', '1', stored('text.iso')],
    ['FORBIDDEN', 'ubuntu', '1', { kind: 'isolocal', value: join(folder, 'iso', 'one.iso') }],
    ['NOT_FOUND', 'ubuntu', '1', { kind: 'isolocal', value: join(folder, 'allowed', 'one.iso') }],
  ];
  for (const [code, name, version, source] of cases) {
    const what = `${name} ${version} ${source.value}`;
    await t.rejects(images.add(name, version, source), { name: 'ServiceError', code }, what);
  }
  t.same(images.list({}), []);
  t.same(inventory.all(), []);
  t.same(images.usersOf('one.iso'), []);
  t.equal((await settled(service, '1', stored('one.iso'))).record.status, 'OK');
});

t.test('names are free: not only those that the documentation lists', async (t) => {
  const service = await startImages(t, await newFolder(t));
  const { images } = service;
  for (const name of ['ESXi', 'CentOS', 'Zentyal ü', '...', 'isolinux', 'a b']) {
    await t.resolves(images.add(name, '14.04-EMC-Ted-test', stored('one.iso')), name);
  }
  await atRest(service);
});

t.test('an image that cannot be written to the inventory does not come into being', async (t) => {
  const folder = await newFolder(t);
  const service = await startImages(t, folder);
  const { images, store } = service;
  const far = await farEnd(t, (_, response) => response.end(oneIso));
  for (const source of [stored('one.iso'), { kind: 'isoweb', value: `${far.url}/x.iso` } as const]) {
    await symlink('/dev/full', temporaryOf(join(folder, 'inventory.json')));
    await t.rejects(images.add('ubuntu', '1', source), { code: 'NO_SPACE' });
    t.same(images.list({}), []);
  }
  t.same(far.headers, [], 'and nothing is downloaded for it');
  t.same(await temporariesIn(store), []);
  const image = await settled(service, '1', { kind: 'isoweb', value: `${far.url}/x.iso` });
  t.equal(image.record.status, 'OK', 'both names are free again');
});

t.test('a file on the server is linked into the store and served', async (t) => {
  const folder = t.testdir({ elsewhere: {} });
  const path = join(folder, 'elsewhere', 'far.iso');
  await writeFile(path, oneIso);
  const service = await startImages(t, folder, { localFolders: [join(folder, 'elsewhere')] });
  const { images, store } = service;
  const image = await settled(service, '1', { kind: 'isolocal', value: path });
  t.match(image.record, { status: 'OK', iso: path });
  t.equal(await textIn(image, 'which'), 'one');
  t.match(await store.list(), [{ name: 'far.iso', bytes: oneIso.length }]);
  t.equal(store.leadsTo(path), true);
  t.match(images.usersOf('far.iso'), [{ version: '1' }]);
  t.match((await settled(service, '2', { kind: 'isolocal', value: path })).record, { status: 'OK' }, 'once more');
});

t.test('a file on the server never replaces a stored one of its name', async (t) => {
  const folder = await newFolder(t);
  await mkdir(join(folder, 'elsewhere'));
  const path = join(folder, 'elsewhere', 'one.iso');
  await writeFile(path, twoIso);
  const service = await startImages(t, folder);
  const { images, store } = service;
  await t.rejects(images.add('ubuntu', '1', { kind: 'isolocal', value: path }), { code: 'EXISTS' });
  t.ok((await readFile(store.pathOf('one.iso'))).equals(oneIso));
  t.same(images.list({}), []);
});

t.test('images are found by what they have, in the order in which they came', async (t) => {
  const service = await startImages(t, await newFolder(t));
  const { images } = service;
  const versions = ['b', 'a', 'c'];
  for (const version of versions) await settled(service, version, stored('one.iso'));
  const found = (...[filter]: Parameters<Images['list']>) => images.list(filter).map(({ version }) => version);
  t.same(found({}), versions);
  t.same(found({ version: 'a' }), ['a']);
  t.same(found({ name: 'ubuntu', status: 'OK', iso: 'one.iso' }), versions);
  t.same(found({ name: 'ubuntu', version: 'x' }), []);
  const [first] = images.list({});
  t.same(found({ id: first?.id ?? '' }), ['b']);
  t.equal(images.get({ name: 'ubuntu', version: 'a' })?.record.version, 'a');
  t.equal(images.get({ id: 'x' }), undefined);
});

t.test('an image has its place in the URL space, in any case where that is asked for', async (t) => {
  const service = await startImages(t, await newFolder(t));
  const { images } = service;
  const image = await images.add('ESXi', '6.0U2', stored('one.iso'));
  t.equal(images.at('ESXi', '6.0U2', 'exact'), image, 'also while it is prepared');
  await image.settled(5000, patient);
  t.equal(images.at('ESXi', '6.0U2', 'exact'), image);
  t.equal(images.at('esxi', '6.0u2', 'exact'), undefined);
  t.equal(images.at('esxi', '6.0u2', 'any-case'), image);
  t.equal(images.at('ESXi', '6.5', 'any-case'), undefined);
  await atRest(service);
});

t.test('an ISO is downloaded, stored under the name of its URL, and served', async (t) => {
  const far = await farEnd(t, (_, response) => response.end(oneIso));
  const service = await startImages(t, t.testdir({}));
  const { store } = service;
  const image = await settled(service, '1', { kind: 'isoweb', value: `${far.url}/path/down%20load.iso?x=1` });
  t.match(image.record, { status: 'OK', iso: 'down load.iso', bytes: oneIso.length });
  t.equal(await textIn(image, 'which'), 'one');
  t.match(await store.list(), [{ name: 'down load.iso', sha256: /^[0-9a-f]{64}$/ }]);
  t.same(await temporariesIn(store), []);
});

const farEnds: [what: string, error: RegExp, handler: RequestListener][] = [
  ['has no such file', /127\.0\.0\.1:\d+ answered 404 Not Found/, (_, response) => response.writeHead(404).end('no')],
  ['sends no ISO', /not an ISO/, (_, response) => response.end('<html>log in first</html>')],
  ['sends nothing', /empty/, (_, response) => response.end()],
  [
    'ends early',
    /broke off after \d+ of \d+ bytes/,
    (_, response) => {
      response.writeHead(200, { 'Content-Length': twoIso.length });
      response.write(twoIso.subarray(0, 50_000), () => setTimeout(() => response.destroy(), 20));
    },
  ],
  ['breaks off in a chunk', /broke off/, (_, response) => response.write(twoIso, () => response.destroy())],
  ['falls silent', /silent for 0\.\d+ seconds/, (_, response) => response.write(twoIso.subarray(0, 100_000))],
];

for (const [what, error, handler] of farEnds) {
  t.test(`when the far end ${what} the image has failed with words, and a good ISO of the name stays`, async (t) => {
    const folder = await newFolder(t);
    const far = await farEnd(t, handler);
    const service = await startImages(t, folder, { downloads: { idleTimeout: 200, tries: 1 } });
    const { store } = service;
    for (const [version, name] of [
      ['1', 'one.iso'],
      ['2', 'new.iso'],
    ] as const) {
      const image = await settled(service, version, { kind: 'isoweb', value: `${far.url}/${name}` });
      t.match(image.record, { status: 'failed', error });
    }
    t.match(await store.list(), [{ name: 'one.iso' }]);
    t.ok((await readFile(store.pathOf('one.iso'))).equals(oneIso));
    t.same(await temporariesIn(store), []);
    t.match(await onDisk(folder), {
      images: [
        { status: 'failed', error },
        { status: 'failed', error },
      ],
    });
  });
}

t.test('a download never replaces an ISO that another image is made from, and gets a name of its own', async (t) => {
  const far = await farEnd(t, (_, response) => response.end(twoIso));
  const service = await startImages(t, await newFolder(t));
  const { images, store } = service;
  const source = { kind: 'isoweb', value: `${far.url}/one.iso` } as const;
  const first = await settled(service, '1', stored('one.iso'));
  const second = await settled(service, '2', source);
  t.match(second.record, { status: 'OK', iso: 'ubuntu-2-one.iso' });
  t.equal(await textIn(first, 'which'), 'one');
  t.equal(await textIn(second, 'which'), 'two');
  t.match(await store.list(), [{ name: 'one.iso' }, { name: 'ubuntu-2-one.iso' }]);
  await writeFile(store.pathOf('ubuntu-3-one.iso'), oneIso);
  await settled(service, 'x', stored('ubuntu-3-one.iso'));
  await t.rejects(images.add('ubuntu', '3', source), { code: 'IN_USE', message: /one\.iso and ubuntu-3-one\.iso/ });
  await images.remove(first);
  const third = await settled(service, '3', source);
  t.match(third.record, { status: 'OK', iso: 'one.iso' }, 'once nobody uses it, it may replace it');
  t.equal(await textIn(third, 'which'), 'two');
});

t.test(
  'two downloads of one name at once do not disturb each other, and each is what its image is made from',
  async (t) => {
    const far = await farEnd(t, ({ url }, response) => response.end(url?.startsWith('/1/') ? oneIso : twoIso));
    const service = await startImages(t, t.testdir({}));
    const [one, two] = await Promise.all([
      settled(service, '1', { kind: 'isoweb', value: `${far.url}/1/boot.iso` }),
      settled(service, '2', { kind: 'isoweb', value: `${far.url}/2/boot.iso` }),
    ]);
    t.match(
      [one.record, two.record],
      [
        { status: 'OK', iso: 'boot.iso' },
        { status: 'OK', iso: 'ubuntu-2-boot.iso' },
      ],
    );
    t.equal(await textIn(one, 'which'), 'one');
    t.equal(await textIn(two, 'which'), 'two');
  },
);

t.test('a download to a name that is being uploaded is refused at once', async (t) => {
  const { images, store } = await startImages(t, t.testdir({}));
  const upload = await store.receive('x.iso');
  await t.rejects(images.add('ubuntu', '1', { kind: 'isoweb', value: 'http://127.0.0.1:1/x.iso' }), { code: 'BUSY' });
  t.same(images.list({}), []);
  await upload.discard();
});

t.test('an upload with an image never replaces an ISO that another image is made from', async (t) => {
  const service = await startImages(t, await newFolder(t));
  await settled(service, '1', stored('one.iso'));
  const never = () => Promise.reject(new Error('It must not arrive'));
  const refused = { code: 'IN_USE', message: /ubuntu 1 .*one\.iso/ };
  await t.rejects(service.images.upload('ubuntu', '2', client('one.iso'), {}, never), refused);
});

t.test('a download that a stop has interrupted begins again at the next start', async (t) => {
  let isBack = false;
  const far = await farEnd(t, (_, response) => {
    if (isBack) response.end(oneIso);
    else response.write(oneIso.subarray(0, 70_000));
  });
  const folder = t.testdir({});
  const first = await startImages(t, folder);
  const image = await first.images.add('ubuntu', '1', { kind: 'isoweb', value: `${far.url}/x.iso` });
  await until(async () => (await temporariesIn(first.store)).length === 1);
  first.images.stop();
  await until(async () => (await temporariesIn(first.store)).length === 0);
  t.same(await temporariesIn(first.store), []);
  t.match(await onDisk(folder), { images: [{ status: 'downloading iso', error: undefined }] });
  isBack = true;
  const service = await startImages(t, folder);
  const { images } = service;
  const again = images.get({ id: image.record.id });
  t.equal(again?.record.status, 'downloading iso');
  await again?.settled(5000, patient);
  t.match(again?.record, { status: 'OK', id: image.record.id, bytes: oneIso.length });
  t.equal(far.headers.length, 2);
});

t.test('a download that has failed is tried again at the next start', async (t) => {
  let isBack = false;
  const far = await farEnd(t, (_, response) => (isBack ? response.end(oneIso) : response.writeHead(503).end()));
  const folder = t.testdir({});
  const first = await startImages(t, folder);
  t.equal((await settled(first, '1', { kind: 'isoweb', value: `${far.url}/x.iso` })).record.status, 'failed');
  isBack = true;
  const service = await startImages(t, folder);
  const { images } = service;
  const again = images.get({ name: 'ubuntu', version: '1' });
  await again?.settled(5000, patient);
  t.equal(again?.record.status, 'OK');
  t.equal(again?.record.error, undefined);
});

t.test('a failed download is never taken for an older ISO of its name, not even after a start', async (t) => {
  let isBack = false;
  const far = await farEnd(t, (_, response) => (isBack ? response.end(twoIso) : response.writeHead(503).end()));
  const folder = await newFolder(t);
  const first = await startImages(t, folder);
  const source = { kind: 'isoweb', value: `${far.url}/one.iso` } as const;
  t.equal((await settled(first, '1', source)).record.status, 'failed');
  const second = await startImages(t, folder);
  const still = second.images.get({ name: 'ubuntu', version: '1' });
  await still?.settled(5000, patient);
  t.equal(still?.record.status, 'failed', 'the far end is still away');
  await second.inventory.settled();
  isBack = true;
  const { images } = await startImages(t, folder);
  const again = images.get({ name: 'ubuntu', version: '1' });
  await again?.settled(5000, patient);
  t.match(again?.record, { status: 'OK', bytes: twoIso.length, sha256: /^[0-9a-f]{64}$/ });
});

t.test('after a start all images are served before anybody can ask', async (t) => {
  const folder = await newFolder(t);
  const first = await startImages(t, folder);
  for (const version of ['1', '2']) await settled(first, version, stored('one.iso'));
  const before = first.images.list({});
  first.images.stop();
  const text = await readFile(join(folder, 'inventory.json'), 'utf8');
  const service = await startImages(t, folder);
  const { images } = service;
  t.same(images.list({}), before);
  for (const version of ['1', '2']) t.equal(await textIn(images.at('ubuntu', version, 'exact'), 'which'), 'one');
  t.equal(await readFile(join(folder, 'inventory.json'), 'utf8'), text, 'and the inventory is as it was');
});

t.test('a broken image is kept with its error, and is OK again at the next start when its ISO is back', async (t) => {
  const folder = await newFolder(t);
  const first = await startImages(t, folder);
  const { record } = await settled(first, '1', stored('one.iso'));
  first.images.stop();
  await rename(join(folder, 'iso', 'one.iso'), join(folder, 'away'));
  const second = await startImages(t, folder);
  t.match(second.images.list({}), [{ id: record.id, status: 'failed', error: /no such ISO/i }]);
  t.match(await onDisk(folder), { images: [{ id: record.id, status: 'failed' }] });
  await t.rejects(second.images.add('ubuntu', '1', stored('one.iso')), { code: 'EXISTS' });
  await rename(join(folder, 'away'), join(folder, 'iso', 'one.iso'));
  const third = await startImages(t, folder);
  t.same(third.images.list({}), [record]);
  t.equal(await textIn(third.images.at('ubuntu', '1', 'exact'), 'which'), 'one');
});

t.test('an inventory of the released service loads and serves', async (t) => {
  const folder = await newFolder(t);
  const elsewhere = join(folder, 'elsewhere.iso');
  await writeFile(elsewhere, twoIso);
  await symlink(elsewhere, join(folder, 'iso', 'elsewhere.iso'));
  const released = { name: 'ubuntu', status: 'OK' };
  await writeInventory(
    folder,
    { ...released, id: '1', version: '14.04', iso: 'one.iso' },
    { ...released, id: '2', version: '16.04', iso: elsewhere },
    { ...released, id: '3', version: '18.04', iso: 'one.iso', status: 'preparing' },
  );
  const service = await startImages(t, folder);
  const { images, store } = service;
  t.match(images.list({}), [
    { id: '1', status: 'OK', bytes: oneIso.length },
    { id: '2', status: 'OK', iso: elsewhere },
    { id: '3', status: 'OK' },
  ]);
  t.equal(await textIn(images.at('ubuntu', '14.04', 'exact'), 'which'), 'one');
  t.equal(await textIn(images.at('ubuntu', '16.04', 'exact'), 'which'), 'two');
  t.equal(store.leadsTo(elsewhere), true, 'the link that it made is served');
});

t.test('what the inventory has that cannot be is a failed image with words, and stops nothing', async (t) => {
  const folder = await newFolder(t);
  const good = { id: '1', name: 'ubuntu', version: '1', iso: 'one.iso', status: 'OK' };
  const web = { kind: 'isoweb', value: 'http://127.0.0.1:1/x.iso' };
  await writeInventory(
    folder,
    good,
    { ...good, id: '2' },
    { ...good, id: '3', name: '..', version: '2' },
    { ...good, id: '4', version: 'a/b' },
    { ...good, id: '5', version: '5', iso: '../inventory.json' },
    { ...good, id: '6', version: '6', iso: '../x.iso', status: 'downloading iso', source: web },
    { ...good, id: '7', version: '7', iso: 'x.iso', status: 'downloading iso' },
    { ...good, id: '8', version: '8', iso: 'one.iso', status: 'strange' },
  );
  const service = await startImages(t, folder);
  const { images } = service;
  t.match(images.list({}), [
    { id: '1', status: 'OK' },
    { id: '2', status: 'failed', error: /same name and version/ },
    { id: '3', status: 'failed', error: /name "\.\." is not allowed/ },
    { id: '4', status: 'failed', error: /version "a\/b" is not allowed/ },
    { id: '5', status: 'failed', error: /not allowed/ },
    { id: '6', status: 'failed', error: /not allowed/ },
    { id: '7', status: 'failed', error: /interrupted, and its URL is not recorded/ },
    { id: '8', status: 'OK' },
  ]);
  t.same((await readdir(folder)).sort(), ['inventory.json', 'iso']);
  const twin = images.get({ id: '2' });
  if (twin) await images.remove(twin);
  t.equal(await textIn(images.at('ubuntu', '1', 'exact'), 'which'), 'one', 'a twin goes without the other');
});

t.test('a deleted image is gone at once, and its ISO stays', async (t) => {
  const folder = await newFolder(t);
  const service = await startImages(t, folder);
  const { images, store } = service;
  const image = await settled(service, '1', stored('one.iso'));
  const { record, tree } = image;
  const file = await tree?.lookup(['which'], 'exact');
  t.same(await images.remove(image), record);
  t.same(images.list({}), []);
  t.equal(images.get({ id: record.id }), undefined);
  t.equal(images.at('ubuntu', '1', 'any-case'), undefined);
  t.same(images.usersOf('one.iso'), []);
  t.equal(await tree?.lookup(['which'], 'exact'), undefined, 'also for whoever has found the image before');
  if (file?.type === 'file') await file.file.close();
  t.match(await store.list(), [{ name: 'one.iso' }]);
  t.same(await onDisk(folder), { images: [] });
  t.equal((await settled(service, '1', stored('one.iso'))).record.status, 'OK');
});

t.test('deleting an image twice, also at once, is refused the second time', async (t) => {
  const service = await startImages(t, await newFolder(t));
  const { images } = service;
  const image = await settled(service, '1', stored('one.iso'));
  const both = await Promise.allSettled([images.remove(image), images.remove(image)]);
  t.match(both, [{ status: 'fulfilled' }, { status: 'rejected', reason: { code: 'NOT_FOUND' } }]);
  await t.rejects(images.remove(image), { code: 'NOT_FOUND' });
});

t.test('deleting an image ends its download and leaves nothing of it', async (t) => {
  let isCut = false;
  const far = await farEnd(t, (request, response) => {
    request.socket.once('close', () => (isCut = true));
    response.write(oneIso.subarray(0, 70_000));
  });
  const folder = t.testdir({});
  const service = await startImages(t, folder);
  const { images, store } = service;
  const source = { kind: 'isoweb', value: `${far.url}/x.iso` } as const;
  const image = await images.add('ubuntu', '1', source);
  await until(async () => (await temporariesIn(store)).length === 1);
  t.match(await images.remove(image), { status: 'downloading iso' });
  t.same(images.list({}), []);
  await until(async () => isCut && (await temporariesIn(store)).length === 0);
  t.equal(isCut, true);
  t.same(await temporariesIn(store), []);
  t.same(await store.list(), []);
  t.same(await onDisk(folder), { images: [] });
  await t.resolves(images.add('ubuntu', '1', source), 'the names are free again');
});

t.test('an image that is deleted while it is prepared does not come back', async (t) => {
  let mount: () => void = () => undefined;
  const driver = new FakeDriver(() => new Promise((resolve) => (mount = resolve)));
  const folder = await newFolder(t);
  const service = await startImages(t, folder, { driver });
  const { images, inventory } = service;
  const image = await images.add('ubuntu', '1', stored('one.iso'));
  await until(() => driver.sources.length === 1);
  await images.remove(image);
  mount();
  await until(() => driver.unmounted.length === 1);
  t.same(driver.unmounted, [0]);
  t.same(images.list({}), []);
  t.same(inventory.all(), []);
});

t.test('when the inventory cannot be written a delete fails and the image stays and is served', async (t) => {
  const folder = await newFolder(t);
  const service = await startImages(t, folder);
  const { images } = service;
  const image = await settled(service, '1', stored('one.iso'));
  await symlink('/dev/full', temporaryOf(join(folder, 'inventory.json')));
  await t.rejects(images.remove(image), { code: 'NO_SPACE' });
  t.same(images.list({}), [image.record]);
  t.equal(await textIn(images.at('ubuntu', '1', 'exact'), 'which'), 'one');
  t.match(await onDisk(folder), { images: [{ version: '1' }] });
  await images.remove(image);
  t.same(images.list({}), []);
});

t.test('an ISO that is replaced in the store is served with its new bytes, by every image made from it', async (t) => {
  const service = await startImages(t, await newFolder(t));
  const { images, store } = service;
  const both = [await settled(service, '1', stored('one.iso')), await settled(service, '2', stored('one.iso'))];
  await upload(store, 'one.iso', twoIso);
  for (const image of both) t.equal(await textIn(image, 'which'), 'one', 'until then the old bytes');
  await images.replaced('one.iso');
  for (const image of both) {
    t.equal(await textIn(image, 'which'), 'two');
    t.match(image.record, { status: 'OK', bytes: twoIso.length, error: undefined });
  }
});

t.test('an ISO that is replaced by something else is served as it was, with the reason', async (t) => {
  const folder = await newFolder(t);
  const service = await startImages(t, folder);
  const { images, store } = service;
  const image = await settled(service, '1', stored('one.iso'));
  await upload(store, 'one.iso', Buffer.from('no ISO'));
  await images.replaced('one.iso');
  t.equal(await textIn(image, 'which'), 'one');
  t.match(image.record, { status: 'OK', error: /^The ISO was replaced by a file that cannot be served: / });
  await upload(store, 'one.iso', twoIso);
  await images.replaced('one.iso');
  t.equal(await textIn(image, 'which'), 'two');
  t.equal(image.record.error, undefined);
});

t.test('a failed image is OK as soon as a good ISO replaces the bad one', async (t) => {
  const folder = await newFolder(t);
  await writeFile(join(folder, 'iso', 'one.iso'), oneIso.subarray(0, 20 * 2048));
  const service = await startImages(t, folder);
  const { images, store } = service;
  const image = await settled(service, '1', stored('one.iso'));
  t.equal(image.record.status, 'failed');
  await upload(store, 'one.iso', twoIso);
  await images.replaced('one.iso');
  t.match(image.record, { status: 'OK', error: undefined });
  t.equal(await textIn(image, 'which'), 'two');
});

t.test('an upload claims its image first, which nobody sees until the ISO is there', async (t) => {
  const service = await startImages(t, t.testdir({}));
  const { images } = service;
  const receive = async (arriving: IncomingFile, begin: () => Promise<Image>) => {
    t.same(images.list({}), []);
    t.equal(images.get({ name: 'ubuntu', version: '1' }), undefined);
    t.equal(images.at('ubuntu', '1', 'exact'), undefined);
    t.match(images.usersOf('x.iso'), [{ name: 'ubuntu' }], 'but its ISO is in use');
    await t.rejects(images.upload('ubuntu', '1', client('y.iso'), {}, receive), { code: 'EXISTS' });
    const stream = Readable.from([Buffer.from(oneIso)]);
    await arriving.take(
      () => ({ stream, complete: () => Promise.resolve() }),
      () => undefined,
    );
    await (await begin()).settled(5000, patient);
  };
  const broken = () => Promise.reject(new Error('The client has gone'));
  await t.rejects(images.upload('ubuntu', '1', client('x.iso'), {}, broken), { message: 'The client has gone' });
  t.same(images.usersOf('x.iso'), [], 'the name is free again');
  await images.upload('ubuntu', '1', client('x.iso'), {}, receive);
  t.equal(await textIn(images.get({ name: 'ubuntu', version: '1' }), 'which'), 'one');
});

t.test('a stop lets go of every ISO', async (t) => {
  const driver = new FakeDriver();
  const service = await startImages(t, await newFolder(t), { driver });
  const { images } = service;
  for (const version of ['1', '2']) await settled(service, version, stored('one.iso'));
  images.stop();
  t.same(driver.unmounted, [0, 1]);
});

t.test('a real ISO is served from the store', async (t) => {
  const real = '/usr/lib/ipxe/ipxe.iso';
  const isThere = await access(real).then(
    () => true,
    () => false,
  );
  const message = `${real} is missing; Debian's package of it is ipxe`;
  if (!isThere) {
    t.ok(process.env['CI'] === undefined, message, { skip: process.env['CI'] === undefined && message });
    return;
  }
  const service = await startImages(t, t.testdir({}));
  const image = await settled(service, '1', { kind: 'isolocal', value: real });
  t.match(image.record, { status: 'OK', bytes: (await stat(real)).size });
  const node = await image.tree?.lookup([], 'exact');
  const names = node?.type === 'folder' ? (await node.list()).map(({ name }) => name.toLowerCase()) : [];
  t.ok(names.includes('isolinux.bin'), names.join(' '));
});
