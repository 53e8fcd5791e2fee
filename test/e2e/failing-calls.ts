// First, so that all of lib finds the functions of node:fs that it replaces.
import {
  type Call,
  type Fault,
  type Watch,
  beginWatch,
  isAlike,
  openFiles,
  watchBelow,
} from '../fixtures/failing-calls.js';
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { cp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { ifThere, messageOf, systemCode } from '../../lib/errors.js';
import { type Answer, type Ask, ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { farEnd } from '../fixtures/download-server.js';
import { everythingBelow, plant, sha256 } from '../fixtures/e2e-tools.js';
import { beginUpload, writePart } from '../fixtures/e2e-upload.js';
import { eventually } from '../fixtures/http-server.js';
import { type TestService, startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

const run = promisify(execFile);
const diskBytes = 4 * 1024 * 1024;

const oldIso = smallIso({ kernel: 'the old kernel' });
const newIso = smallIso({ kernel: 'the new kernel', initrd: Buffer.alloc(10_000, 'i') });
const microkernel = Buffer.alloc(150_000, 'microkernel');
const kernels = new Map([
  [sha256(oldIso), 'the old kernel'],
  [sha256(newIso), 'the new kernel'],
]);

/** What a service holds: files by name, and for each image, by name, the ISO that it is made from. */
interface World {
  readonly iso: Readonly<Record<string, Buffer>>;
  readonly common: Readonly<Record<string, Buffer>>;
  readonly images: Readonly<Record<string, string>>;
}

/** How something that was asked of the service ended, as the client sees it. */
type Outcome = 'success' | 'failure' | 'open';

interface Scenario {
  readonly title: string;
  readonly before: World;
  /** Once it has succeeded. */
  readonly after: World;
  /** @param broken told what the client must not see */
  readonly act: (service: TestService, broken: Report) => Promise<Outcome>;
  /** The calls of the start are what is watched. */
  readonly isStart?: boolean;
}

type Report = (what: string) => void;

/** What each call is made to fail with; calls that are not here end with EIO. */
const codes: Readonly<Record<string, readonly string[]>> = {
  create: ['ENOSPC', 'EMFILE'],
  open: ['EMFILE', 'EIO'],
  writev: ['ENOSPC', 'EIO'],
  writeFile: ['ENOSPC', 'EIO'],
  sync: ['EIO', 'ENOSPC'],
  rename: ['EXDEV', 'EIO'],
  mkdir: ['ENOSPC', 'EACCES'],
  symlink: ['ENOSPC', 'EACCES'],
  realpath: ['EIO', 'EACCES'],
  lstat: ['EIO', 'EACCES'],
  readFile: ['EIO', 'EACCES'],
};

function titleOf({ operation, place }: Call): string {
  return `${operation} of ${place}`;
}

const put = (service: TestService, path: string, body: Buffer | string, headers: Ask['headers'] = {}) =>
  tryAsk(service.north, path, { method: 'PUT', body, headers });

/** A connection that was cut before the answer is an answer too: none. */
async function tryAsk(base: string, path: string, question: Ask = {}): Promise<Answer> {
  try {
    return await ask(base, path, question);
  } catch (error) {
    return { status: 0, headers: {}, body: Buffer.alloc(0), text: messageOf(error), complete: false };
  }
}

/** Looks whether an answer is a success or an honest failure. */
function outcomeOf({ status, text, complete, headers }: Answer, service: TestService, broken: Report): Outcome {
  if (text.includes(join(service.folder, 'static'))) broken(`the answer tells a path of the host: ${text}`);
  if (complete && status < 300) {
    const isText = headers['content-type']?.startsWith('text/plain') === true;
    if (isText && !text.endsWith('Upload finished!\n')) broken(`an answer ended well without success: ${text}`);
    return status === 202 ? 'open' : 'success';
  }
  if (!complete) {
    if (text.includes('Upload finished!')) broken('a cut answer tells of success');
    if (status !== 200) broken(`no answer: ${status} ${text}`);
    if (status === 200 && headers['content-type']?.startsWith('text/plain') && !/^Upload failed: /m.test(text))
      broken(`an upload failed without a word: ${text}`);
    return 'failure';
  }
  // Also a disk that is read without permission is told as what it is.
  if (!/^(403|500|503|507)$/.test(String(status))) broken(`status ${status} for a failure of the disk: ${text}`);
  if (!/^\{\n {2}"message": ".+",\n {2}"code": "[A-Z_]+"\n\}\n$/.test(text)) broken(`no error in JSON: ${text}`);
  return 'failure';
}

/** Asks for something that the scenario is about. */
function asking(method: string, path: string, options: Ask = {}): Scenario['act'] {
  return async (service, broken) =>
    outcomeOf(await tryAsk(service.north, path, { method, ...options }), service, broken);
}

/** Asks for bytes that are known. */
function reading(path: string, expected: Buffer | string): Scenario['act'] {
  return async (service, broken) => {
    const answer = await tryAsk(service.south, path);
    const isRight = answer.body.equals(Buffer.from(expected));
    if (answer.status === 200 && answer.complete && !isRight) broken(`${path}: wrong bytes`);
    return outcomeOf(answer, service, broken);
  };
}

const empty: World = { iso: {}, common: {}, images: {} };
const stored: World = { ...empty, iso: { 'a.iso': oldIso } };
const served: World = { iso: { 'a.iso': oldIso }, common: { 'k.img': microkernel }, images: { a: 'a.iso' } };
const wait = { Prefer: 'wait=20' };
const asJson = { Accept: 'application/json' };

function unchanged(title: string, act: Scenario['act']): Scenario {
  return { title, before: served, after: served, act };
}

/** @param far URL of a server that has the new ISO under every name */
function scenarios(far: string): Scenario[] {
  const chunked = { 'transfer-encoding': 'chunked', ...asJson };
  const image = (source: string) => `/images?name=n&version=1&${source}`;
  const withNew = (name: string): World => ({ ...served, iso: { ...served.iso, [name]: newIso } });
  const withImage = (name: string): World => ({ ...withNew(name), images: { ...served.images, n: name } });
  return [
    {
      title: 'upload of a new ISO',
      before: empty,
      after: { ...empty, iso: { 'b.iso': newIso } },
      act: asking('PUT', '/iso?name=b.iso', { body: newIso }),
    },
    {
      title: 'replacement of an ISO that an image serves',
      before: served,
      after: withNew('a.iso'),
      act: asking('PUT', '/iso?name=a.iso', { body: newIso, headers: asJson }),
    },
    {
      title: 'upload of a microkernel of unknown length',
      before: stored,
      after: { ...stored, common: { 'k.img': microkernel } },
      act: asking('PUT', '/microkernel?name=k.img', { body: microkernel, headers: chunked }),
    },
    { title: 'DELETE /iso', before: stored, after: empty, act: asking('DELETE', '/iso?name=a.iso') },
    {
      title: 'PUT /images from the store',
      before: withNew('b.iso'),
      after: withImage('b.iso'),
      act: asking('PUT', image('isostore=b.iso'), { headers: wait }),
    },
    {
      title: 'PUT /images from a file of the server',
      before: served,
      after: withImage('local.iso'),
      act: (service, broken) => {
        const path = join(service.folder, 'elsewhere/local.iso');
        return asking('PUT', image(`isolocal=${path}`), { headers: wait })(service, broken);
      },
    },
    {
      title: 'PUT /images with the ISO',
      before: served,
      after: withImage('b.iso'),
      act: asking('PUT', image('isoclient=b.iso'), { body: newIso, headers: wait }),
    },
    {
      title: 'PUT /images by download',
      before: served,
      after: withImage('far.iso'),
      act: asking('PUT', image(`isoweb=${far}/far.iso`), { headers: wait }),
    },
    {
      title: 'DELETE /images',
      before: served,
      after: { ...served, images: {} },
      act: asking('DELETE', '/images?name=a&version=1'),
    },
    unchanged('GET of a file inside an image', reading('/a/1/kernel', 'the old kernel')),
    unchanged('GET of the list of images', asking('GET', '/images')),
    unchanged('GET of a stored file', reading('/iso/a.iso', oldIso)),
    unchanged('GET of the list of ISOs', async (service, broken) => {
      const answer = await tryAsk(service.north, '/iso');
      if (answer.status === 200 && !answer.text.includes('"a.iso"')) broken('a.iso is left out of the list');
      return outcomeOf(answer, service, broken);
    }),
    {
      title: 'start of the service',
      before: withNew('b.iso'),
      after: withNew('b.iso'),
      act: () => Promise.resolve('success'),
      isStart: true,
    },
  ];
}

/** Brings a service to hold what a scenario begins with. */
async function prepare(t: Test, { iso, common, images }: World, folder: string): Promise<void> {
  const service = await startTestService(t, {}, folder);
  for (const [name, bytes] of Object.entries(iso)) await put(service, `/iso?name=${name}`, bytes);
  for (const [name, bytes] of Object.entries(common)) await put(service, `/microkernel?name=${name}`, bytes);
  for (const [name, isoName] of Object.entries(images)) {
    await put(service, `/images?name=${name}&version=1&isostore=${isoName}`, '');
  }
  const settled = await settledImages(service);
  await checkInventory(service, settled, { fault: undefined, isRestarted: true }, (what) => {
    throw new Error(what);
  });
  await service.service.stop();
}

interface Shown {
  readonly id: string;
  readonly name: string;
  readonly iso: string;
  readonly status: string;
  readonly error?: string;
}

/** The images, once each is `OK` or `failed`. */
async function settledImages({ north }: TestService): Promise<Shown[]> {
  let images: Shown[] = [];
  await eventually(async () => {
    images = json(await ask(north, '/images')) as Shown[];
    return images.every(({ status }) => status === 'OK' || status === 'failed');
  });
  return images;
}

/** What a service must hold now. */
interface Expected {
  readonly scenario: Scenario;
  readonly outcome: Outcome;
  readonly fault: Fault | undefined;
  /** The failure is over, and the service was started once more. */
  readonly isRestarted: boolean;
}

/** The worlds of which one must be there now. */
function worldsOf({ scenario, outcome }: Expected): World[] {
  return outcome === 'success' ? [scenario.after] : [scenario.before, scenario.after];
}

interface Listed {
  readonly name: string;
  /** In the listing of a folder. */
  readonly type?: string;
  readonly sha256?: string;
}

async function listed(base: string, path: string): Promise<Listed[]> {
  return json(await ask(base, path)) as Listed[];
}

const stores = [
  { place: 'iso', route: '/iso' },
  { place: 'common', route: '/microkernel' },
] as const;

/** Every file is there whole, as it was or as it is to be, and listings agree with that. */
async function checkFiles(service: TestService, expected: Expected, broken: Report): Promise<void> {
  for (const { place, route } of stores) {
    const worlds = worldsOf(expected).map((world) => world[place]);
    const records = await listed(service.north, route);
    const present: string[] = [];
    for (const name of new Set(worlds.flatMap((files) => Object.keys(files)))) {
      const { status, body } = await ask(service.south, `/${place}/${name}`);
      if (status !== 200 && status !== 404) broken(`${name}: status ${status}`);
      const found = status === 200 ? sha256(body) : undefined;
      const allowed = worlds.map((files) => files[name] && sha256(files[name]));
      if (!allowed.includes(found)) broken(`${name} is ${found === undefined ? 'missing' : 'neither old nor new'}`);
      if (found === undefined) continue;
      present.push(name);
      const digest = records.find((record) => record.name === name)?.sha256 ?? found;
      if (digest !== found) broken(`${name}: the digest of other bytes`);
    }
    const inPlace = await listed(service.south, `/${place}/?format=json`);
    // Beside the files: lists of their digests, and links that lead nowhere.
    const shown = inPlace.filter(({ name, type }) => type === 'file' && !name.endsWith('SUMS'));
    const [there, inList, inFolder] = [present, namesOf(records), namesOf(shown)].map((names) => names.sort().join());
    if (there !== inList) broken(`${place}: there is ${there ?? ''}, and listed is ${inList ?? ''}`);
    if (there !== inFolder) broken(`${place}: there is ${there ?? ''}, and its folder shows ${inFolder ?? ''}`);
  }
}

function namesOf(records: readonly Listed[]): string[] {
  return records.map(({ name }) => name);
}

/** Every image that is there serves whole files of an ISO that it may have, or says why not. */
async function checkImages(
  service: TestService,
  images: readonly Shown[],
  expected: Expected,
  broken: Report,
): Promise<void> {
  const worlds = worldsOf(expected);
  const names = new Set(worlds.flatMap((world) => Object.keys(world.images)));
  const strangers = images.filter(({ name }) => !names.has(name));
  if (strangers.length > 0) broken(`there are images ${JSON.stringify(strangers)}`);
  for (const name of names) {
    const image = images.find((other) => other.name === name);
    const isAllowed = worlds.some((world) => (world.images[name] !== undefined) === (image !== undefined));
    if (!isAllowed) broken(`image ${name} is ${image ? 'there' : 'missing'}`);
    const { status, text } = await ask(service.south, `/${name}/1/kernel`);
    if (image?.status === 'OK') {
      const allowed = await kernelsOf(service, image, expected);
      if (status !== 200 || !allowed.includes(text)) broken(`image ${name}: ${status} ${text}, not ${allowed.join()}`);
    } else {
      if (status !== 404) broken(`image ${name}, ${image?.status ?? 'gone'}: status ${status}`);
      if (image && !mayHaveFailed(image, expected)) broken(`image ${name} is ${image.status}: ${image.error ?? ''}`);
    }
  }
}

/** An image on its way can fail, and says why; what is served goes on being served. The next start brings all back. */
function mayHaveFailed({ name, status, error }: Shown, { scenario, isRestarted }: Expected): boolean {
  if (isRestarted || status !== 'failed' || error === undefined) return false;
  return scenario.isStart === true || scenario.before.images[name] === undefined;
}

/** What an image may serve as its kernel. */
async function kernelsOf(service: TestService, { iso, error }: Shown, { scenario, outcome, isRestarted }: Expected) {
  const name = basename(iso);
  // Until the next start an image goes on with the ISO that it has, where the new one cannot be read.
  const isBehind = !isRestarted && (outcome !== 'success' || error !== undefined);
  const isos = isBehind
    ? [scenario.before.iso[name], scenario.after.iso[name]]
    : [(await ask(service.south, `/iso/${name}`)).body];
  return isos.map((bytes) => bytes && kernels.get(sha256(bytes)));
}

/** The inventory on disk parses, and has the images that the service shows. */
async function checkInventory(
  { folder }: TestService,
  images: readonly Shown[],
  { fault, isRestarted }: Pick<Expected, 'fault' | 'isRestarted'>,
  broken: Report,
): Promise<void> {
  const hasFailed = !isRestarted && fault?.place === 'inventory';
  // When the fsync of its folder fails, or its close, the new file is there and nobody can say whether it stays.
  if (hasFailed && /^(sync|close)$/.test(fault.operation)) return;
  // A status that could not be saved is found out anew at the next start.
  const brief = (records: readonly Shown[]) =>
    records.map(({ id, status }) => (hasFailed ? id : `${id} ${status}`)).join();
  let saved = '';
  const agrees = await eventually(async () => {
    const text = await ifThere(readFile(join(folder, 'inventory.json'), 'utf8'));
    const inventory = JSON.parse(text ?? '{"images":[]}') as { images: Shown[] };
    saved = brief(inventory.images);
    return saved === brief(images);
  });
  if (!agrees) broken(`the inventory has ${saved}, and the images are ${brief(images)}`);
}

/** Nothing is left over of what has failed, on disk or open. */
async function checkLeftovers(
  { folder }: TestService,
  images: readonly Shown[],
  { fault, isRestarted }: Expected,
  broken: Report,
): Promise<void> {
  let left: string[] = [];
  const isClear = await eventually(async () => {
    const own = (await everythingBelow(folder)).filter((path) => /\.image-service\/|\.tmp$|broken/.test(path));
    left = own.filter((path) => !path.endsWith('.image-service/store.json'));
    // What cannot be removed now is removed at the next start.
    return left.length === 0 || (!isRestarted && fault?.operation === 'rm');
  });
  if (!isClear) broken(`left over: ${left.join()}`);
  // An image that is served has its ISO open, once.
  const count = images.filter(({ status }) => status === 'OK').length;
  const isClosed = await eventually(() => openFiles(folder).length === count);
  if (!isClosed) broken(`${count} images are served, and open are ${openFiles(folder).join()}`);
}

/** An upload, a download and a DELETE do what they always do. */
async function checkWork(service: TestService, broken: Report): Promise<void> {
  const bytes = randomBytes(1000);
  const { text, complete } = await put(service, '/iso?name=later.iso', bytes);
  if (!complete || !text.endsWith('Upload finished!\n')) broken(`a later upload fails: ${text}`);
  if (!(await ask(service.south, '/iso/later.iso')).body.equals(bytes)) broken('a later download fails');
  const { status } = await ask(service.north, '/iso?name=later.iso', { method: 'DELETE' });
  if (status !== 200) broken(`a later DELETE fails: ${status}`);
}

async function checkAll(service: TestService, expected: Expected, broken: Report): Promise<void> {
  const images = await settledImages(service);
  await checkFiles(service, expected, broken);
  await checkImages(service, images, expected, broken);
  await checkInventory(service, images, expected, broken);
  await checkLeftovers(service, images, expected, broken);
}

interface Run {
  readonly watch: Watch;
  /** What did not hold, in words. */
  readonly broken: string[];
}

/** Starts the service on a folder, under the fault where the start is what fails: then once more, without. */
async function startUnder(t: Test, folder: string, { isStart }: Scenario, fault: Fault | undefined, broken: Report) {
  if (!isStart) {
    const service = await startTestService(t, {}, folder);
    return { service, watch: beginWatch(fault) };
  }
  const watch = beginWatch(fault);
  const service = await startTestService(t, {}, folder).catch(async (error: unknown) => {
    await watch.end();
    if (!watch.isMet) throw error;
    if (!(await eventually(() => openFiles(folder).length === 0)))
      broken(`not started, and open: ${openFiles(folder).join()}`);
    return startTestService(t, {}, folder);
  });
  return { service, watch };
}

/** Goes through a scenario once, on a copy of a folder that is ready for it. */
async function runOnce(t: Test, scenario: Scenario, ready: string, folder: string, fault?: Fault): Promise<Run> {
  const broken: string[] = [];
  await cp(ready, folder, { recursive: true, preserveTimestamps: true });
  const { service, watch } = await startUnder(t, folder, scenario, fault, (what) => broken.push(what));
  const outcome = await scenario.act(service, (what) => broken.push(what));
  await settledImages(service);
  await watch.end();
  if (!watch.isMet && outcome !== 'success') broken.push(`${outcome}, without a fault`);
  await checkAll(service, { scenario, outcome, fault, isRestarted: false }, (what) => broken.push(what));
  await checkWork(service, (what) => broken.push(what));
  const again = await service.restart();
  await checkAll(again, { scenario, outcome, fault, isRestarted: true }, (what) => broken.push(`restarted: ${what}`));
  await again.service.stop();
  if (!(await eventually(() => openFiles(folder).length === 0)))
    broken.push(`stopped, and open: ${openFiles(folder).join()}`);
  await rm(folder, { recursive: true });
  return { watch, broken };
}

/** Every call that was noted, to fail once: each time in another way, so that all scenarios together see all of them. */
function faultsOf(calls: readonly Call[], first: number): Fault[] {
  return calls.map((call, index) => {
    const turn = calls.slice(0, index + 1).filter((other) => isAlike(other, call)).length;
    const all = codes[call.operation] ?? [];
    return { ...call, turn, code: all[(first + turn) % all.length] ?? 'EIO' };
  });
}

/** Mounts a disk in memory on a folder until the test ends; or says why that is not possible here. */
async function mountMemory(t: Test, folder: string, bytes: number): Promise<string | undefined> {
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder]);
  } catch (error) {
    return `no disk in memory: ${messageOf(error)}`;
  }
  t.teardown(() => run('umount', ['--lazy', folder]));
  return undefined;
}

const seen = new Set<string>();

t.test('every call of the file system fails once', async (t) => {
  const base = await realpath(await temporaryFolder(t));
  // Where it is possible: a real disk takes its time for every fsync.
  await mountMemory(t, base, 64 * diskBytes);
  const far = await farEnd(t, (_, response) => response.end(newIso));
  watchBelow(base);
  for (const [index, scenario] of scenarios(far.url).entries()) {
    await t.test(scenario.title, async (t) => {
      const ready = join(base, `ready-${index}`);
      await plant(ready, { 'elsewhere/local.iso': newIso });
      await prepare(t, scenario.before, ready);
      const { watch, broken } = await runOnce(t, scenario, ready, join(base, `recorded-${index}`));
      t.same(broken, [], 'without a fault');
      for (const call of watch.calls) seen.add(titleOf(call));
      for (const [run, fault] of faultsOf(watch.calls, index).entries()) {
        const { watch, broken } = await runOnce(t, scenario, ready, join(base, `run-${index}-${run}`), fault);
        t.same(broken, [], `${titleOf(fault)}, the ${fault.turn}. time: ${fault.code}`);
        // How many reads and writes there are is up to the network; digests are made up in the background, and kept, by a
        // start also in the inventory.
        const isByChance = fault.place === 'state' || (scenario.isStart === true && fault.place === 'inventory');
        if (fault.turn === 1 && !isByChance) t.ok(watch.isMet, `${titleOf(fault)} has failed`);
      }
      await rm(ready, { recursive: true });
    });
  }
  for (const call of [
    ...['create of part', 'writev of part', 'sync of part', 'close of part', 'rename of part', 'rm of part'],
    ...['create of inventory', 'writeFile of inventory', 'rename of inventory', 'sync of inventory'],
    ...['create of state', 'rename of state', 'open of iso', 'read of iso', 'stat of iso', 'close of iso'],
    ...['rm of iso', 'symlink of iso', 'sync of store', 'readdir of store', 'statfs of store', 'mkdir of store'],
  ]) {
    t.ok(seen.has(call), `${call} was among them`);
  }
});

/** A service on a disk of 4 MiB; undefined, and said so, where nobody may mount one. */
async function onSmallDisk(t: Test): Promise<TestService | undefined> {
  const folder = await temporaryFolder(t);
  const refusal = await mountMemory(t, folder, diskBytes);
  if (refusal !== undefined) {
    t.pass('a full disk', { skip: refusal });
    return undefined;
  }
  const service = await startTestService(t, {}, folder);
  await put(service, '/iso?name=a.iso', oldIso);
  return service;
}

/** Takes all the room that there is. @returns gives it back */
async function fill(service: TestService): Promise<() => Promise<void>> {
  const filler = join(service.folder, 'filler');
  await writeFile(filler, Buffer.alloc(diskBytes)).catch((error: unknown) => {
    if (systemCode(error) !== 'ENOSPC') throw error;
  });
  return () => rm(filler);
}

/** The file that was there is there, nothing else is, and the service goes on. */
async function checkUnharmed(t: Test, service: TestService): Promise<void> {
  t.same(namesOf(await listed(service.north, '/iso')), ['a.iso']);
  t.ok((await ask(service.south, '/iso/a.iso')).body.equals(oldIso), 'the old file is whole');
  const own = await everythingBelow(join(service.folder, 'static/iso/.image-service'));
  t.same(
    own.filter((name) => name !== 'store.json'),
    [],
    'no temporary file is left',
  );
  const { status } = await put(service, '/iso?name=b.iso', newIso, asJson);
  t.equal(status, 201, 'what has room is taken');
  t.ok((await ask(service.south, '/iso/b.iso')).body.equals(newIso));
  await ask(service.north, '/iso?name=b.iso', { method: 'DELETE' });
}

const tooMuch = Buffer.alloc(diskBytes + 1, 'much');
const noSpace = { status: 507, text: /"code": "NO_SPACE"/ };

t.test('an upload of unknown length that fills the disk', async (t) => {
  const service = await onSmallDisk(t);
  if (service === undefined) return;
  for (const name of ['a.iso', 'c.iso']) {
    t.match(await put(service, `/iso?name=${name}`, tooMuch, { 'transfer-encoding': 'chunked' }), noSpace);
    await checkUnharmed(t, service);
  }
  const { north } = service;
  const body = Buffer.concat([newIso, tooMuch]);
  const headers = { 'transfer-encoding': 'chunked' };
  t.match(await ask(north, '/images?name=n&version=1&isoclient=c.iso', { method: 'PUT', body, headers }), noSpace);
  t.same(json(await ask(north, '/images')), []);
  await checkUnharmed(t, service);
});

t.test('an upload that is larger than the disk is refused before its body', async (t) => {
  const service = await onSmallDisk(t);
  if (service === undefined) return;
  const connection = await Connection.open(service.north);
  t.teardown(() => connection.socket.destroy());
  connection.send(`PUT /iso?name=c.iso HTTP/1.1\r\nHost: x\r\nContent-Length: ${tooMuch.length}\r\n\r\n`);
  t.match(await connection.until('NO_SPACE'), /^HTTP\/1\.1 507 /);
  await checkUnharmed(t, service);
});

t.test('an upload for which there was room, until somebody else took it', async (t) => {
  const service = await onSmallDisk(t);
  if (service === undefined) return;
  const body = tooMuch.subarray(0, diskBytes / 2);
  const upload = beginUpload(service.north, '/iso?name=a.iso', body.length);
  await writePart(upload, body.subarray(0, body.length / 2));
  const onDisk = async () => {
    const { headers } = await ask(service.north, '/iso?name=a.iso', { method: 'HEAD' });
    return headers['upload-offset'] === String(body.length / 2);
  };
  t.ok(await eventually(onDisk), 'it is on its way');
  const empty = await fill(service);
  upload.request.end(body.subarray(body.length / 2));
  t.match(await upload.ended, { status: 200, text: /%\nUpload failed: There is no room left on the disk\n$/ });
  await empty();
  await checkUnharmed(t, service);
});

t.test('an image whose record has no room on the disk', async (t) => {
  const service = await onSmallDisk(t);
  if (service === undefined) return;
  const empty = await fill(service);
  const add = () => ask(service.north, '/images?name=n&version=1&isostore=a.iso', { method: 'PUT', headers: wait });
  t.match(await add(), noSpace);
  t.same(json(await ask(service.north, '/images')), []);
  await empty();
  t.match(json(await add()), { status: 'OK' });
  await checkUnharmed(t, service);
});

t.test('downloads for which the disk has no room', async (t) => {
  const service = await onSmallDisk(t);
  if (service === undefined) return;
  const { north } = service;
  const far = await farEnd(t, ({ url }, response) => {
    if (url === '/announced.iso') response.setHeader('Content-Length', tooMuch.length);
    else response.setHeader('Transfer-Encoding', 'chunked');
    response.end(url === '/small.iso' ? newIso : tooMuch);
  });
  const add = (name: string) =>
    ask(north, `/images?name=n&version=1&isoweb=${far.url}/${name}.iso`, { method: 'PUT', headers: wait });
  for (const name of ['announced', 'silent']) {
    t.match(json(await add(name)), { status: 'failed', error: /no room/ });
    await ask(north, '/images?name=n&version=1', { method: 'DELETE' });
    await checkUnharmed(t, service);
  }
  t.match(json(await add('small')), { status: 'OK' });
});
