import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, stat } from 'node:fs/promises';
import http from 'node:http';
import { type AddressInfo, isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { isOwnAddress } from '../../lib/images/download-hosts.js';
import { ask, json } from '../fixtures/client.js';
import { ftpEnd, ftpServer, needsFtp } from '../fixtures/download-ftp-server.js';
import { farEnd } from '../fixtures/download-server.js';
import { fileOf, settledImage } from '../fixtures/e2e-tools.js';
import { type FarFile, startFarFile } from '../fixtures/far-file.js';
import { startProcess } from '../fixtures/process.js';
import { startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

interface Shown {
  readonly id: string;
  readonly name: string;
  readonly status: string;
  readonly error?: string;
  readonly progress?: { readonly bytes: number; readonly total?: number; readonly rate: number };
}

const kernel = randomBytes(2_000_000);
const iso = smallIso({ kernel });
const other = smallIso({ kernel: 'other', more: randomBytes(1_500_000) });
// Most of the time is waiting: a second before each new try.
t.jobs = 4;

const withFtp = await needsFtp();

/** An address of this machine that does not say that it is one. */
const address = Object.values(networkInterfaces())
  .flat()
  .map((network) => network?.address ?? '')
  .find((candidate) => isIPv4(candidate) && !isOwnAddress(candidate));
const withAddress = { skip: address === undefined && 'missing here: an address beside loopback' };

/** Adds an image that is downloaded. @param headers such as `Prefer: wait=30`, which makes it wait for the outcome */
function add(north: string, name: string, url: string, headers = {}) {
  const query = `name=${name}&version=1&isoweb=${encodeURIComponent(url)}`;
  return ask(north, `/images?${query}`, { method: 'PUT', headers });
}

const patiently = { prefer: 'wait=30' };

function remove(north: string, name: string) {
  return ask(north, `/images?name=${name}&version=1`, { method: 'DELETE' });
}

async function recordOf(north: string, name: string): Promise<Shown | undefined> {
  return (json(await ask(north, `/images?name=${name}`)) as Shown[])[0];
}

async function bytesOf(north: string, name: string): Promise<number | undefined> {
  return (await recordOf(north, name))?.progress?.bytes;
}

/** What a store has of files that have not arrived whole. */
async function partsIn(folder: string): Promise<string[]> {
  const names = await readdir(join(folder, 'static/iso/.image-service'));
  return names.filter((name) => name !== 'store.json');
}

/** Whether an image serves the very bytes of the ISO, and its ISO as well. */
async function checkServed(t: Test, south: string, name: string, file: string): Promise<void> {
  t.ok((await ask(south, `/${name}/1/kernel`)).body.equals(kernel), 'every byte of the file in it is right');
  t.ok((await ask(south, `/iso/${file}`)).body.equals(iso), 'every byte of the ISO is right');
}

/** Waits until an image has each of these bytes in turn, and lets the far end go on. */
async function passStops(north: string, name: string, far: FarFile, stops: readonly number[]): Promise<void> {
  for (const stop of stops) {
    await waitFor(`${name} at ${stop}`, async () => (await bytesOf(north, name)) === stop && far.waiting === 1);
    far.proceed();
  }
}

t.test('a download whose connection is cut again and again goes on where it was, until all is there', async (t) => {
  const { north, south, folder } = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  const cuts = [100_000, 700_000, 1_300_000, 1_900_000];
  Object.assign(far, { cuts, stops: cuts });
  await add(north, 'cut', `${url}/cut.iso`);
  await passStops(north, 'cut', far, cuts);
  t.match(await settledImage(north, 'cut'), { status: 'OK', bytes: iso.length });
  await checkServed(t, south, 'cut', 'cut.iso');
  t.same(far.asked, [
    { range: undefined, ifRange: undefined },
    ...cuts.map((cut) => ({ range: `bytes=${cut}-`, ifRange: '"first"' })),
  ]);
  t.same(await partsIn(folder), []);
});

t.test('a server that ignores ranges is asked for the whole file anew', async (t) => {
  const { north, south, folder } = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  const cuts = [600_000, 1_500_000];
  Object.assign(far, { cuts, stops: cuts, knowsRanges: false });
  await add(north, 'whole', `${url}/whole.iso`);
  await passStops(north, 'whole', far, cuts);
  t.match(await settledImage(north, 'whole'), { status: 'OK', bytes: iso.length });
  await checkServed(t, south, 'whole', 'whole.iso');
  t.same(
    far.asked.map(({ range }) => range),
    [undefined, ...cuts.map((cut) => `bytes=${cut}-`)],
  );
  t.same(await partsIn(folder), []);
});

t.test('a server that has nothing to tell one file from another is never asked for a part', async (t) => {
  const { north, south } = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  far.etag = undefined;
  far.cuts = [600_000];
  t.match(json(await add(north, 'plain', `${url}/plain.iso`, patiently)), { status: 'OK' });
  await checkServed(t, south, 'plain', 'plain.iso');
  t.same(
    far.asked.map(({ range }) => range),
    [undefined, undefined],
  );
});

t.test('a file that changes between two tries is downloaded anew, and nothing of the former one stays', async (t) => {
  const { north, south, folder } = await startTestService(t);
  const { far, url } = await startFarFile(t, other);
  far.cuts = [1_000_000];
  far.stops = [1_000_000];
  t.equal((await add(north, 'changed', `${url}/changed.iso`)).status, 202);
  await waitFor('the first part', async () => (await bytesOf(north, 'changed')) === 1_000_000);
  far.content = iso;
  far.etag = '"second"';
  far.proceed();
  t.match(await settledImage(north, 'changed'), { status: 'OK', bytes: iso.length });
  await checkServed(t, south, 'changed', 'changed.iso');
  t.match(far.asked, [{}, { range: 'bytes=1000000-', ifRange: '"first"' }]);
  t.same(await partsIn(folder), []);
});

for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
  t.test(`a download that ${signal} interrupts goes on, at the next start, from the bytes on disk`, async (t) => {
    const folder = await temporaryFolder(t);
    const { far, url } = await startFarFile(t, iso);
    far.stops = [1_200_000];
    const first = await startProcess(t, folder);
    t.equal((await add(first.north, 'kept', `${url}/kept.iso`)).status, 202);
    await waitFor('the first part', async () => (await bytesOf(first.north, 'kept')) === 1_200_000);
    await first.end(signal);
    const [part = ''] = (await partsIn(folder)).filter((name) => name.endsWith('.part'));
    t.equal((await stat(join(folder, 'static/iso/.image-service', part))).size, 1_200_000);

    const second = await startProcess(t, folder);
    t.match(await settledImage(second.north, 'kept'), { status: 'OK', bytes: iso.length });
    await checkServed(t, second.south, 'kept', 'kept.iso');
    t.same(far.asked.slice(1), [{ range: 'bytes=1200000-', ifRange: '"first"' }]);
    t.same(await partsIn(folder), []);
  });
}

t.test('a file that changes while the service is down is downloaded anew', async (t) => {
  const folder = await temporaryFolder(t);
  const { far, url } = await startFarFile(t, other);
  far.stops = [1_000_000];
  const first = await startProcess(t, folder);
  await add(first.north, 'changed', `${url}/changed.iso`);
  await waitFor('the first part', async () => (await bytesOf(first.north, 'changed')) === 1_000_000);
  await first.end('SIGKILL');
  far.content = iso;
  far.etag = '"second"';
  const second = await startProcess(t, folder);
  t.match(await settledImage(second.north, 'changed'), { status: 'OK', bytes: iso.length });
  await checkServed(t, second.south, 'changed', 'changed.iso');
  t.match(far.asked.slice(1), [{ range: 'bytes=1000000-', ifRange: '"first"' }]);
});

t.test('the record of an image tells how far its download is, how far it has to go, and how fast', async (t) => {
  const { north } = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  far.stops = [300_000, 900_000, 1_500_000];
  const { id } = json(await add(north, 'slow', `${url}/slow.iso`)) as Shown;
  for (const bytes of [300_000, 900_000, 1_500_000]) {
    await waitFor(`${bytes} bytes`, async () => (await bytesOf(north, 'slow')) === bytes);
    const record = json(await ask(north, `/images/${id}`)) as Shown;
    t.match(record, { status: 'downloading iso', progress: { bytes, total: iso.length } });
    t.ok((record.progress?.rate ?? 0) > 0, `${record.progress?.rate ?? 0} bytes a second`);
    far.proceed();
  }
  const settled = await settledImage(north, 'slow');
  t.match(settled, { status: 'OK', bytes: iso.length });
  t.notOk('progress' in (settled as Shown), 'and no more when it is there');
});

t.test('DELETE ends a download at once, leaves nothing of it, and the same image can be added again', async (t) => {
  const { north, south, folder } = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  far.stops = [800_000];
  await add(north, 'gone', `${url}/gone.iso`);
  await waitFor('the first part', async () => (await bytesOf(north, 'gone')) === 800_000);
  t.equal((await partsIn(folder)).length, 2, 'its bytes and its record');
  t.match(await remove(north, 'gone'), { status: 200 });
  t.same(await partsIn(folder), []);
  t.same(json(await ask(north, '/images')), []);
  await waitFor('the far end to notice', () => far.waiting === 0);
  t.equal(far.asked.length, 1);

  t.match(json(await add(north, 'gone', `${url}/gone.iso`, patiently)), { status: 'OK' });
  await checkServed(t, south, 'gone', 'gone.iso');
  t.same(far.asked.slice(1), [{ range: undefined, ifRange: undefined }], 'it began anew');
});

t.test('of more downloads than may run, the others wait in order, and can be deleted while they wait', async (t) => {
  const { north, folder } = await startTestService(t, { downloads: 1 });
  const names = ['first', 'second', 'third', 'fourth'];
  const ends: Record<string, FarFile> = {};
  for (const name of names) {
    const { far, url } = await startFarFile(t, iso);
    far.stops = [500_000];
    ends[name] = far;
    t.equal((await add(north, name, `${url}/${name}.iso`)).status, 202);
  }
  const asked = () => names.filter((name) => ends[name]?.asked.length === 1);
  const statuses = async () => Promise.all(names.map(async (name) => (await recordOf(north, name))?.status));

  await waitFor('the first', async () => (await bytesOf(north, 'first')) === 500_000);
  for (const name of names.slice(1)) {
    t.match(await recordOf(north, name), { status: 'downloading iso', progress: { bytes: 0, rate: 0 } });
  }
  t.same(asked(), ['first']);

  t.equal((await remove(north, 'second')).status, 200, 'one that waits is deleted');
  ends['first']?.proceed();
  await waitFor('the third', async () => (await bytesOf(north, 'third')) === 500_000);
  t.same(asked(), ['first', 'third'], 'the fourth waits on');
  t.match(await recordOf(north, 'fourth'), { status: 'downloading iso', progress: { bytes: 0 } });

  t.equal((await remove(north, 'third')).status, 200, 'the next one need not wait for one that is deleted');
  await waitFor('the fourth', async () => (await bytesOf(north, 'fourth')) === 500_000);
  ends['fourth']?.proceed();
  t.match(await settledImage(north, 'fourth'), { status: 'OK' });
  t.same(await statuses(), ['OK', undefined, undefined, 'OK']);
  t.same(await partsIn(folder), []);
});

t.test('a machine that asks for a file of an image that is still on its way waits for it', async (t) => {
  const { north, south } = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  far.stops = [500_000];
  await add(north, 'late', `${url}/late.iso`);
  await waitFor('the first part', () => far.waiting === 1);
  const file = ask(south, '/late/1/kernel');
  t.equal((await ask(south, '/iso/late.iso')).status, 404, 'what is not whole is not served');
  t.same(json(await ask(north, '/iso')), [], 'nor listed');
  far.proceed();
  t.ok((await file).body.equals(kernel));
});

t.test('the ISO of an ftp server arrives, also over a transfer that breaks off', withFtp, async (t) => {
  const { north, south, folder } = await startTestService(t);
  const files = await temporaryFolder(t);
  await fileOf(files, 'ftp.iso', iso);
  const server = await ftpServer(t, files, 1_000_000);
  t.match(json(await add(north, 'ftp', `${server.url}/ftp.iso`, patiently)), { status: 'OK', bytes: iso.length });
  await checkServed(t, south, 'ftp', 'ftp.iso');
  t.same(
    server.commands.filter((command) => command.startsWith('RETR')),
    ['RETR ftp.iso', 'RETR ftp.iso'],
  );
  t.same(await partsIn(folder), []);
});

t.test('a file that an ftp server does not have makes an image that has failed, in words', withFtp, async (t) => {
  const { north } = await startTestService(t);
  const { url } = await ftpServer(t, await temporaryFolder(t));
  t.match(json(await add(north, 'none', `${url}/none.iso`, patiently)), { status: 'failed', error: /no such file/ });
});

t.test('a download by ftp goes on where its transfer broke off', async (t) => {
  const { north, south } = await startTestService(t);
  let transfers = 0;
  const server = await ftpEnd(t, {
    content: iso,
    send: (data, say, offset) => {
      say('150 Here it comes');
      transfers += 1;
      if (transfers > 1) data.end(iso.subarray(offset), () => say('226 Done'));
      else data.write(iso.subarray(0, 1_000_000));
    },
  });
  await add(north, 'rest', `${server.url}/rest.iso`);
  await waitFor('the first part', async () => (await bytesOf(north, 'rest')) === 1_000_000);
  for (const socket of server.sockets) socket.destroy();
  t.match(await settledImage(north, 'rest'), { status: 'OK', bytes: iso.length });
  await checkServed(t, south, 'rest', 'rest.iso');
  t.ok(server.commands.includes('REST 1000000'), server.commands.join(', '));
});

t.test('a host that isoWebHosts does not list is refused with 403, and is not asked', async (t) => {
  const { far, url } = await startFarFile(t, iso);
  const { north } = await startTestService(t, { isoWebHosts: ['mirror.example', '127.0.0.1:1'] });
  const refused = await add(north, 'refused', `${url}/refused.iso`);
  t.match({ status: refused.status, ...(json(refused) as object) }, { status: 403, code: 'FORBIDDEN' });
  t.match(refused.text, /isoWebHosts/);
  t.same(json(await ask(north, '/images')), []);
  t.same(far.asked, []);
});

t.test('a host that isoWebHosts lists is downloaded from, and only it', async (t) => {
  const { far, url } = await startFarFile(t, iso);
  const { url: elsewhere } = await farEnd(t, (_, response) => {
    response.writeHead(302, { Location: `${url}/moved.iso` }).end();
  });
  const { north } = await startTestService(t, { isoWebHosts: [new URL(elsewhere).host] });
  t.match(json(await add(north, 'moved', `${elsewhere}/moved.iso`, patiently)), {
    status: 'failed',
    error: /isoWebHosts does not list it/,
  });
  t.same(far.asked, [], 'a redirect leads to no other one');

  const open = await startTestService(t, { isoWebHosts: [new URL(url).host] });
  t.match(json(await add(open.north, 'listed', `${url}/listed.iso`, patiently)), { status: 'OK' });
});

t.test('a redirect from another machine to this one is not followed', withAddress, async (t) => {
  const { north, log } = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  const server = http.createServer((_, response) => {
    response.writeHead(302, { Location: `${url}/secret.iso` }).end();
  });
  server.listen(0, address);
  await once(server, 'listening');
  t.teardown(() => server.close());
  const elsewhere = `http://${address}:${(server.address() as AddressInfo).port}/x.iso`;
  t.match(json(await add(north, 'lured', elsewhere, patiently)), {
    status: 'failed',
    error: /redirect to 127\.0\.0\.1:\d+ is not allowed/,
  });
  t.same(far.asked, []);
  t.ok(log.some((line) => line.includes('lured 1: failed')));
});

t.test('a far end that has less than it says is given up, in words', async (t) => {
  const { north, south } = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  Object.assign(far, { missing: 100, knowsRanges: false });
  t.match(json(await add(north, 'short', `${url}/short.iso`, patiently)), {
    status: 'failed',
    error: /broke off and had to begin anew 8 times/,
  });
  t.equal((await ask(south, '/short/1/kernel')).status, 404);
  t.same(json(await ask(north, '/iso')), []);
});

t.test('what has arrived from one URL is not continued from another', async (t) => {
  const { north, south } = await startTestService(t);
  // Many a server makes its entity tags from time and size: two files can have the same.
  const { far, url } = await startFarFile(t, Buffer.alloc(iso.length, 1));
  far.cuts = [500_000];
  far.stops = [500_000];
  await add(north, 'one', `${url}/boot.iso`);
  await waitFor('the first part', async () => (await bytesOf(north, 'one')) === 500_000);
  far.answer = (_, response) => response.writeHead(404).end();
  far.proceed();
  t.match(await settledImage(north, 'one'), { status: 'failed' });
  t.equal((await remove(north, 'one')).status, 200);

  const mirror = await startFarFile(t, iso);
  t.match(json(await add(north, 'two', `${mirror.url}/boot.iso`, patiently)), { status: 'OK' });
  await checkServed(t, south, 'two', 'boot.iso');
});

t.test('an ISO that is shorter than its volume says has failed as truncated, and is not served', async (t) => {
  const { north, south } = await startTestService(t);
  const { url } = await startFarFile(t, iso.subarray(0, 1_000_000));
  t.match(json(await add(north, 'half', `${url}/half.iso`, patiently)), { status: 'failed', error: /truncated/ });
  for (const path of ['/half/1/kernel', '/half/1/', '/half/']) {
    t.equal((await ask(south, path)).status, 404, path);
  }
});

t.test('GET /status tells what the stores use, and what arrives counts', async (t) => {
  const { north } = await startTestService(t);
  const used = async () => {
    const { stores } = json(await ask(north, '/status')) as { stores: Record<string, { free: number; used: number }> };
    t.same(Object.keys(stores), ['iso', 'microkernel']);
    for (const [name, { free }] of Object.entries(stores)) t.ok(free > 0, `${name}: ${free} bytes free`);
    return [stores['iso']?.used, stores['microkernel']?.used];
  };
  t.same(await used(), [0, 0]);
  await ask(north, '/iso?name=a.iso', { method: 'PUT', body: iso });
  t.same(await used(), [iso.length, 0]);
  await ask(north, '/microkernel?name=vmlinuz', { method: 'PUT', body: 'kernel' });
  t.same(await used(), [iso.length, 6]);

  const { far, url } = await startFarFile(t, iso);
  far.stops = [700_000];
  await add(north, 'b', `${url}/b.iso`);
  await waitFor('the first part', async () => (await bytesOf(north, 'b')) === 700_000);
  t.same(await used(), [iso.length + 700_000, 6], 'of a download what has arrived');
  far.proceed();
  t.match(await settledImage(north, 'b'), { status: 'OK' });
  t.same(await used(), [2 * iso.length, 6]);
  await remove(north, 'b');
  await ask(north, '/iso?name=b.iso', { method: 'DELETE' });
  t.same(await used(), [iso.length, 6]);
});
t.test('a download that has failed for good leaves no bytes when its image is deleted', async (t) => {
  const { north, folder } = await startTestService(t);
  let answers = 0;
  const { url } = await farEnd(t, (_, response) => {
    if (answers++ > 0) response.writeHead(404).end();
    else {
      response.writeHead(200, { ETag: '"first"', 'Content-Length': iso.length });
      response.write(iso.subarray(0, 500_000), () => response.destroy());
    }
  });
  t.match(json(await add(north, 'lost', `${url}/lost.iso`, patiently)), { status: 'failed', error: /404 Not Found/ });
  t.equal((await remove(north, 'lost')).status, 200);
  t.same(await partsIn(folder), []);
});
