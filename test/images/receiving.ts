import { createHash } from 'node:crypto';
import {
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rmdir,
  stat,
  statfs,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { privateFolder } from '../../lib/folder.js';
import { Hashing } from '../../lib/images/hashing.js';
import type { IncomingFile } from '../../lib/images/incoming-file.js';
import { Part, bootOf } from '../../lib/images/part.js';
import { Parts } from '../../lib/images/parts.js';
import { type ExpectedFile, OffsetError, Receiving, type ReceivingOptions } from '../../lib/images/receiving.js';
import { createLog } from '../../lib/log.js';
import { beforeEach, systemError } from '../fixtures/disk.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { deferred } from '../fixtures/http-server.js';
import { waitFor } from '../fixtures/wait.js';

const hashing = new Hashing();
t.teardown(() => hashing.stop());

const nothing = () => undefined;
const text = 'the whole text of the file';
const upload: ExpectedFile = { length: text.length, source: 'upload' };

interface Setup {
  readonly receiving: Receiving;
  /** Where the parts are. */
  readonly transit: string;
  /** The content of a finished file. */
  readonly stored: (name: string) => Promise<string>;
  /** The same folder as the next run of the service sees it. */
  readonly restart: (options?: Partial<ReceivingOptions>) => Promise<Setup>;
}

async function openReceiving(folder: string, options: Partial<ReceivingOptions> = {}): Promise<Setup> {
  const transit = join(folder, privateFolder);
  const receiving = new Receiving(folder, await Parts.open(transit, hashing, createLog(5, nothing)), {
    keptFor: () => 3_600_000,
    move: (name, { path }) => rename(path, join(folder, name)),
    ...options,
  });
  return {
    receiving,
    transit,
    stored: (name) => readFile(join(folder, name), 'utf8'),
    restart: (other) => openReceiving(folder, { ...options, ...other }),
  };
}

async function setUp(t: Test, options?: Partial<ReceivingOptions>): Promise<Setup> {
  return openReceiving(await realpath(t.testdir({ [privateFolder]: {} })), options);
}

/** Sends bytes and ends as it is told to. */
function send(incoming: IncomingFile, bytes: string): Promise<void> {
  return incoming.take(
    () => ({ stream: Readable.from([Buffer.from(bytes)]), complete: () => Promise.resolve() }),
    nothing,
  );
}

/** An upload that has sent some bytes and then goes on as the test says. */
async function begin(receiving: Receiving, bytes: string, expected = upload, name = 'x.iso') {
  const incoming = await receiving.receive(name, expected);
  const stream = new Readable({ read: nothing });
  const taken = incoming.take(() => ({ stream, complete: () => Promise.resolve() }), nothing);
  // What it rejects with is looked at later.
  taken.catch(nothing);
  stream.push(bytes);
  await waitFor('its bytes', () => incoming.bytes === (expected.offset ?? 0) + bytes.length);
  return { incoming, stream, taken };
}

/** An upload that sends some bytes and breaks off. */
async function breakOff(t: Test, receiving: Receiving, bytes: string, expected = upload): Promise<void> {
  const { stream, taken } = await begin(receiving, bytes, expected);
  stream.destroy(systemError('ECONNRESET'));
  await t.rejects(taken, { code: 'BAD_REQUEST' });
}

function sha256(bytes: string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

t.test('one file of each name arrives at a time, and how much of it has come can be seen', async (t) => {
  const { receiving, stored } = await setUp(t);
  t.equal(receiving.arrived('x.iso'), undefined);
  const { incoming, stream, taken } = await begin(receiving, 'the whole ');
  await t.rejects(receiving.receive('x.iso', upload), { code: 'BUSY' });
  await t.rejects(receiving.receive('x.iso', { ...upload, offset: 10 }), { code: 'BUSY' });
  t.throws(() => receiving.refuseBusy('x.iso'), { code: 'BUSY' });
  t.same(receiving.arrived('x.iso'), { bytes: 10, length: text.length, isComplete: false });
  t.equal(receiving.bytes, 10);
  await send(await receiving.receive('y.iso', {}), 'another');
  t.equal(await stored('y.iso'), 'another');
  stream.push(text.slice(10));
  stream.push(null);
  await taken;
  t.equal(await stored('x.iso'), text);
  t.equal(incoming.sha256, sha256(text));
  t.equal(receiving.arrived('x.iso'), undefined);
  t.equal(receiving.bytes, 0);
  t.doesNotThrow(() => receiving.refuseBusy('x.iso'));
});

for (const isRestarted of [false, true]) {
  const when = isRestarted ? 'after a restart' : 'at once';
  t.test(`an upload that broke off goes on where it was, ${when}`, async (t) => {
    let setup = await setUp(t);
    for (let offset = 0; offset + 5 < text.length; offset += 5) {
      await breakOff(t, setup.receiving, text.slice(offset, offset + 5), { ...upload, offset });
      t.equal(await descriptorsBelow(setup.transit), 0);
      if (isRestarted) setup = await setup.restart();
      t.same(setup.receiving.arrived('x.iso'), { bytes: offset + 5, length: text.length, isComplete: false });
      t.equal(setup.receiving.bytes, offset + 5);
    }
    const offset = setup.receiving.arrived('x.iso')?.bytes ?? 0;
    const last = await setup.receiving.receive('x.iso', { ...upload, offset });
    last.demand({ sha256: sha256(text), md5: createHash('md5').update(text).digest('hex') });
    await send(last, text.slice(offset));
    t.equal(await setup.stored('x.iso'), text);
    t.equal(last.sha256, sha256(text));
    t.same(await readdir(setup.transit), []);
  });
}

const wrong: readonly { what: string; expected: ExpectedFile; offset: number }[] = [
  { what: 'before the end of what is there', expected: { ...upload, offset: 9 }, offset: 10 },
  { what: 'behind the end of what is there', expected: { ...upload, offset: 11 }, offset: 10 },
  { what: 'in a file of another length', expected: { ...upload, length: text.length + 1, offset: 10 }, offset: 0 },
  { what: 'in a file of unknown length', expected: { source: 'upload', offset: 10 }, offset: 0 },
  { what: 'of somebody else', expected: { ...upload, source: 'http://far/x.iso', offset: 10 }, offset: 0 },
  { what: 'of nobody', expected: { length: text.length, offset: 10 }, offset: 0 },
];

t.test('an upload that goes on at the wrong place is told the right one, and takes nothing away', async (t) => {
  const { receiving, transit } = await setUp(t);
  await breakOff(t, receiving, text.slice(0, 10));
  for (const { what, expected, offset } of wrong) {
    const refused = receiving.receive('x.iso', expected);
    await t.rejects(
      refused,
      { code: 'OFFSET', offset, message: new RegExp(`at byte ${expected.offset}: ${offset} `) },
      what,
    );
    t.ok((await refused.catch((error: unknown) => error)) instanceof OffsetError);
  }
  await t.rejects(receiving.receive('y.iso', { ...upload, offset: 5 }), { code: 'OFFSET', offset: 0 });
  t.equal((await readdir(transit)).length, 2);
  const { taken, stream } = await begin(receiving, text.slice(10), { ...upload, offset: 10 });
  stream.push(null);
  await t.resolves(taken);
});

t.test('what a download has left is no part of an upload', async (t) => {
  const { receiving, stored } = await setUp(t);
  const source = 'http://far/x.iso';
  const incoming = await receiving.receive('x.iso', { source });
  await incoming.begin({ validator: '"tag"', length: text.length });
  await incoming.append(Readable.from([Buffer.from('download..')]));
  await incoming.end();
  await t.rejects(receiving.receive('x.iso', { ...upload, offset: 10 }), { code: 'OFFSET', offset: 0 });
  const again = await receiving.receive('x.iso', { source });
  t.equal(again.bytes, 10, 'but the download goes on with it');
  await again.end();
  await send(await receiving.receive('x.iso', upload), text);
  t.equal(await stored('x.iso'), text);
});

t.test('an upload of the whole file begins anew over whatever there is', async (t) => {
  const { receiving, stored, transit } = await setUp(t);
  await breakOff(t, receiving, 'something else entirely');
  await breakOff(t, receiving, 'new', { length: 7, source: 'upload' });
  t.same(receiving.arrived('x.iso'), { bytes: 3, length: 7, isComplete: false });
  await send(await receiving.receive('x.iso', { length: 7, source: 'upload', offset: 3 }), 'file');
  t.equal((await stored('x.iso')).slice(3), 'file');
  t.equal(await stored('x.iso'), 'newfile');
  t.same(await readdir(transit), []);
});

t.test('an upload whose length nobody knows cannot go on, and leaves nothing', async (t) => {
  const { receiving, transit } = await setUp(t);
  await breakOff(t, receiving, 'some', {});
  t.equal(receiving.arrived('x.iso'), undefined);
  t.same(await readdir(transit), []);
});

t.test('an upload that breaks off before its first byte leaves nothing', async (t) => {
  const { receiving, transit } = await setUp(t);
  const incoming = await receiving.receive('x.iso', upload);
  await t.rejects(incoming.take(() => Promise.reject(systemError('ECONNRESET')), nothing));
  t.equal(receiving.arrived('x.iso'), undefined);
  t.same(await readdir(transit), []);
});

for (const source of ['upload', undefined]) {
  const who = source === undefined ? 'an upload that nobody could continue' : 'another attempt';
  t.test(`${who} that is refused before it begins takes nothing away`, async (t) => {
    const { receiving, transit, restart } = await setUp(t);
    await breakOff(t, receiving, text.slice(0, 10));
    const folder = join(transit, '..', 'x.iso');
    await mkdir(folder);
    await t.rejects(receiving.receive('x.iso', { ...upload, source }), { code: 'EXISTS' });
    await rmdir(folder);
    await t.rejects(receiving.receive('x.iso', { length: 2 ** 60, source }), { code: 'NO_SPACE' });
    await t.rejects(receiving.receive('x.iso', { source, room: 2 ** 60 }), { code: 'NO_SPACE' });
    t.same(receiving.arrived('x.iso'), { bytes: 10, length: text.length, isComplete: false });
    const next = await restart();
    await send(await next.receiving.receive('x.iso', { ...upload, offset: 10 }), text.slice(10));
    t.equal(await next.stored('x.iso'), text);
  });
}

t.test('a file needs no more room than is missing of it', async (t) => {
  const { receiving, transit } = await setUp(t);
  const { bavail, bsize } = await statfs(transit);
  const length = Math.floor(bavail * bsize * 0.6);
  const first = await begin(receiving, 'some', { length, source: 'upload' });
  await t.rejects(receiving.receive('y.iso', { length }), {
    code: 'NO_SPACE',
    message: /^There is no room for \d+ bytes; \d+ bytes are free$/,
  });
  first.stream.destroy();
  await t.rejects(first.taken);
  const second = await receiving.receive('y.iso', { length });
  await t.rejects(receiving.receive('x.iso', { length, source: 'upload', offset: 4 }), { code: 'NO_SPACE' });
  await second.discard();
  const third = await receiving.receive('x.iso', { length, source: 'upload', offset: 4 });
  await t.rejects(third.begin({ validator: undefined, length: 2 ** 60 }), { code: 'NO_SPACE' });
  await third.discard();
});

t.test('a file that goes on needs room only for the rest', async (t) => {
  const { receiving, transit, restart } = await setUp(t);
  await breakOff(t, receiving, 'some');
  const { bavail, bsize } = await statfs(transit);
  const half = Math.floor((bavail * bsize) / 2);
  // It takes no room, but counts as bytes that have arrived.
  await truncate(`${Part.stemOf(transit, 'x.iso')}.part`, half);
  const expected = { length: 3 * half, source: 'upload' };
  await writeFile(
    `${Part.stemOf(transit, 'x.iso')}.json`,
    JSON.stringify({ ...expected, name: 'x.iso', boot: await bootOf(), synced: 0 }),
  );
  const next = await restart();
  await t.rejects(next.receiving.receive('x.iso', { ...expected, room: 4 * half, offset: half }), { code: 'NO_SPACE' });
  const incoming = await next.receiving.receive('x.iso', { ...expected, room: 2.5 * half, offset: half });
  t.equal(incoming.bytes, half);
  await incoming.discard();
});

interface Loss {
  readonly what: string;
  readonly code: string;
  readonly expected?: ExpectedFile;
  readonly options?: Partial<ReceivingOptions>;
  readonly harm?: (t: Test, incoming: IncomingFile) => Promise<void> | void;
  readonly bytes?: string;
}

const losses: readonly Loss[] = [
  {
    what: 'the disk is full in the middle',
    code: 'NO_SPACE',
    harm: (t) => beforeEach(t, 'writev', () => Promise.reject(systemError('ENOSPC'))),
  },
  {
    what: 'the disk is full at the end',
    code: 'NO_SPACE',
    harm: (t) => beforeEach(t, 'sync', () => Promise.reject(systemError('ENOSPC'))),
  },
  {
    what: 'the file is not what it should be',
    code: 'NOT_AN_ISO',
    expected: { check: () => Promise.reject(new ServiceError('NOT_AN_ISO', 'no')) },
  },
  {
    what: 'its digest is another one',
    code: 'DIGEST_MISMATCH',
    harm: (_, incoming) => incoming.demand({ sha512: 'a'.repeat(128) }),
  },
  { what: 'its name cannot be had', code: 'EISDIR', options: { move: () => Promise.reject(systemError('EISDIR')) } },
  { what: 'it has more bytes than it should', code: 'BAD_REQUEST', bytes: `${text.slice(10)}!` },
];

for (const { what, code, expected, options, harm, bytes = text.slice(10) } of losses) {
  t.test(`when ${what}, nothing is kept, as it would fail again`, async (t) => {
    const { receiving, transit } = await setUp(t, options);
    await breakOff(t, receiving, text.slice(0, 10));
    const incoming = await receiving.receive('x.iso', { ...upload, ...expected, offset: 10 });
    await harm?.(t, incoming);
    await t.rejects(send(incoming, bytes), { code });
    t.equal(receiving.arrived('x.iso'), undefined);
    t.same(await readdir(transit), []);
    t.equal(await descriptorsBelow(transit), 0);
    t.doesNotThrow(() => receiving.refuseBusy('x.iso'));
  });
}

t.test('when the disk fails as an upload breaks off, nothing is kept and its client hears why it ended', async (t) => {
  const { receiving, transit } = await setUp(t);
  const { stream, taken } = await begin(receiving, 'some');
  await beforeEach(t, 'sync', () => Promise.reject(systemError('EIO')));
  stream.destroy();
  await t.rejects(taken, { code: 'BAD_REQUEST' });
  t.equal(receiving.arrived('x.iso'), undefined);
  t.same(await readdir(transit), []);
});

t.test(
  'an upload whose client has gone without a word makes way for the next one, which goes on with its bytes',
  async (t) => {
    const { receiving, stored } = await setUp(t, { silentAfter: 20 });
    const { incoming, taken } = await begin(receiving, text.slice(0, 10));
    await waitFor('silence', () => incoming.silence > 20);
    const interrupted = t.rejects(taken, { code: 'TIMEOUT' });
    const next = await receiving.receive('x.iso', { ...upload, offset: 10 });
    await interrupted;
    await send(next, text.slice(10));
    t.equal(await stored('x.iso'), text);
  },
);

t.test('one whose client is only slow, or has just come, does not make way', async (t) => {
  const { receiving, transit, restart } = await setUp(t);
  await breakOff(t, receiving, 'some');
  await utimes(`${Part.stemOf(transit, 'x.iso')}.part`, 1, 1);
  const { receiving: next } = await restart();
  const claimed = await next.receive('x.iso', { ...upload, offset: 4 });
  await t.rejects(
    next.receive('x.iso', { ...upload, offset: 4 }),
    { code: 'BUSY' },
    'also not with bytes from long ago',
  );
  const stream = new Readable({ read: nothing });
  const opened = deferred();
  const source = { stream, complete: () => Promise.resolve() };
  const taken = claimed.take(() => opened.promise.then(() => source), nothing);
  await t.rejects(next.receive('x.iso', { ...upload, offset: 4 }), { code: 'BUSY' });
  opened.resolve();
  stream.push('more');
  await waitFor('its bytes', () => claimed.bytes === 8);
  await t.rejects(next.receive('x.iso', { ...upload, offset: 8 }), { code: 'BUSY' });
  stream.destroy();
  await t.rejects(taken, { code: 'BAD_REQUEST' });
});

t.test('a download is silent for as long as it wants', async (t) => {
  const { receiving } = await setUp(t, { silentAfter: 0 });
  const incoming = await receiving.receive('x.iso', { source: 'http://far/x.iso' });
  await incoming.begin({ validator: '"tag"', length: 100 });
  await incoming.append(Readable.from([Buffer.from('some')]));
  const { mtimeMs } = await stat(incoming.path);
  await waitFor('time', () => Date.now() > mtimeMs + 20);
  await t.rejects(receiving.receive('x.iso', upload), { code: 'BUSY' });
  await incoming.discard();
});

t.test('an upload that is just being put aside does not make the next one busy', async (t) => {
  const { receiving, stored } = await setUp(t);
  const { incoming, stream, taken } = await begin(receiving, text.slice(0, 10));
  const disk = deferred();
  let isFirst = true;
  await beforeEach(t, 'sync', () => {
    const wait = isFirst ? disk.promise : Promise.resolve();
    isFirst = false;
    return wait;
  });
  stream.destroy();
  await waitFor('its end', () => incoming.isEnding);
  const waiting = [1, 2].map(() => receiving.receive('x.iso', { ...upload, offset: 10 }));
  const settled = Promise.allSettled(waiting);
  await turn();
  disk.resolve();
  await t.rejects(taken, { code: 'BAD_REQUEST' });
  const [first, second] = await settled;
  t.match(second, { status: 'rejected', reason: { code: 'BUSY' } }, 'but of two only one gets the name');
  if (first?.status === 'fulfilled') await send(first.value, text.slice(10));
  t.equal(await stored('x.iso'), text);
});

t.test('what has broken off is kept for as long as was said', async (t) => {
  const { receiving, transit, restart } = await setUp(t);
  await breakOff(t, receiving, 'some');
  await receiving.expire();
  t.equal(receiving.arrived('x.iso')?.bytes, 4);
  const hourAgo = Date.now() / 1000 - 3601;
  await utimes(`${Part.stemOf(transit, 'x.iso')}.part`, hourAgo, hourAgo);
  const next = await restart();
  t.equal(next.receiving.arrived('x.iso')?.bytes, 4);
  await next.receiving.expire();
  t.equal(next.receiving.arrived('x.iso'), undefined);
  t.same(await readdir(transit), []);
});

t.test('what is arriving is not given up, however old it is', async (t) => {
  const { receiving } = await setUp(t, { keptFor: () => -1 });
  const { stream, taken } = await begin(receiving, text);
  await receiving.expire();
  stream.push(null);
  await t.resolves(taken);
});

t.test('what has broken off can be dropped', async (t) => {
  const { receiving, transit } = await setUp(t);
  t.equal(await receiving.drop('x.iso'), undefined);
  await breakOff(t, receiving, 'some');
  t.match(await receiving.drop('x.iso'), { bytes: 4 });
  t.equal(receiving.arrived('x.iso'), undefined);
  t.same(await readdir(transit), []);
});

t.test('what has broken off is abandoned only on behalf of whom it came from', async (t) => {
  const { receiving, transit } = await setUp(t);
  await receiving.abandon('x.iso', 'upload');
  await breakOff(t, receiving, 'some');
  await receiving.abandon('x.iso', 'http://far/x.iso');
  t.equal(receiving.arrived('x.iso')?.bytes, 4);
  await receiving.abandon('x.iso', 'upload');
  t.equal(receiving.arrived('x.iso'), undefined);
  t.same(await readdir(transit), []);
});

t.test('stopping ends all uploads, and those that can go on do so in the next run', async (t) => {
  const { receiving, transit, restart } = await setUp(t);
  const [known, unknown] = [await begin(receiving, 'some'), await begin(receiving, 'some', {}, 'y.iso')];
  const ended = Promise.all([known, unknown].map(({ taken }) => t.rejects(taken, { code: 'TIMEOUT' })));
  await receiving.stop();
  await ended;
  t.equal(await descriptorsBelow(transit), 0);
  const next = await restart();
  t.same(next.receiving.arrived('x.iso'), { bytes: 4, length: text.length, isComplete: false });
  t.equal(next.receiving.arrived('y.iso'), undefined);
  t.equal((await readdir(transit)).length, 2);
});

t.test('a file that is being put in its place when the service stops gets there', async (t) => {
  const move = deferred();
  const { receiving } = await setUp(t, { move: () => move.promise });
  const incoming = await receiving.receive('x.iso', upload);
  const taken = send(incoming, text);
  await waitFor('all its bytes', () => incoming.sha256 !== '');
  const stopped = receiving.stop();
  move.resolve();
  await Promise.all([t.resolves(taken), stopped]);
});
