import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { Hashing } from '../../lib/images/hashing.js';
import { IncomingFile, type IncomingOptions, type Source } from '../../lib/images/incoming-file.js';
import { Part } from '../../lib/images/part.js';
import { beforeEach, bytesOf, systemError, writeAtMost } from '../fixtures/disk.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { Random } from '../fixtures/random.js';

const nothing = () => undefined;
const hashing = new Hashing();

function sourceOf(stream: Readable): Source {
  return { stream, complete: () => Promise.resolve() };
}

function textSource(...chunks: string[]): Source {
  return sourceOf(Readable.from(chunks.map((chunk) => Buffer.from(chunk))));
}

/** A stream that gives one chunk, and then what the test makes of it. */
function started(): Readable {
  const stream = new Readable({ read: nothing });
  stream.push('first');
  return stream;
}

interface Setup {
  readonly incoming: IncomingFile;
  /** Where temporary files lie. */
  readonly folder: string;
  readonly target: string;
  readonly released: () => number;
}

function setUp(
  t: Test,
  length?: number,
  move?: (target: string) => Promise<void>,
  check: (path: string) => Promise<void> = () => Promise.resolve(),
): Setup {
  const base = t.testdir({ transit: {}, stored: { 'x.iso': 'old' } });
  const target = join(base, 'stored', 'x.iso');
  let released = 0;
  const incoming = new IncomingFile({
    name: 'x.iso',
    part: new Part(join(base, 'transit', 'x'), hashing),
    ...{ length, check, offset: 0, source: undefined, boot: '' },
    reserve: () => Promise.resolve(),
    move: ({ path }) => (move ? move(target) : rename(path, target)),
    release: () => released++,
  });
  return { incoming, folder: join(base, 'transit'), target, released: () => released };
}

t.test('the stored bytes are the sent bytes, however the network cuts them into pieces', async (t) => {
  const random = new Random(1);
  for (let run = 0; run < 20; run++) {
    const chunks = Array.from({ length: 1 + random.below(20) }, () => {
      return Buffer.from(Array.from({ length: 1 + random.below(3000) }, () => random.below(256)));
    });
    const whole = Buffer.concat(chunks);
    const { incoming, target, folder, released } = setUp(t, run % 2 === 0 ? whole.length : undefined);
    const told: number[] = [];
    await incoming.take(
      () => sourceOf(Readable.from(chunks)),
      (bytes) => told.push(bytes),
    );
    t.ok(whole.equals(await readFile(target)), `run ${run}`);
    t.equal(incoming.sha256, createHash('sha256').update(whole).digest('hex'));
    t.equal(incoming.bytes, whole.length);
    t.equal(told.at(-1), whole.length, 'told the last of it');
    t.same(
      told,
      [...told].sort((a, b) => a - b),
      'and never less than before',
    );
    t.equal(told.at(-1), whole.length);
    t.same(
      told,
      told.toSorted((a, b) => a - b),
    );
    t.same(await readdir(folder), []);
    t.equal(released(), 1);
  }
});

t.test('a write that the disk takes only in part goes on with the rest', async (t) => {
  const { incoming, target } = setUp(t);
  const text = 'a long text that the disk takes in four pieces';
  const lengths = await writeAtMost(t, 13);
  await incoming.take(() => textSource(text), nothing);
  t.equal(await readFile(target, 'utf8'), text);
  t.same(lengths, [46, 33, 20, 7]);
});

interface Failure {
  readonly what: string;
  readonly length?: number;
  readonly source: () => Source;
  readonly error: Error | { readonly code: string; readonly message?: RegExp };
  readonly check?: () => Promise<void>;
  readonly move?: () => Promise<void>;
  readonly disk?: (t: Test) => Promise<void>;
  readonly progress?: () => void;
}

const refused = new ServiceError('NOT_AN_ISO', 'no');
const two = () => textSource('one', 'two');

function breaking(error?: Error): Source {
  const stream = started();
  stream.once('resume', () => setImmediate(() => stream.destroy(error)));
  return sourceOf(stream);
}

function fullAfter(bytes: number, code: string) {
  return (t: Test) => {
    let written = 0;
    return beforeEach(t, 'writev', (args) => {
      written += bytesOf(args);
      return written > bytes ? turn().then(() => Promise.reject(systemError(code))) : Promise.resolve();
    });
  };
}

const failures: Failure[] = [
  { what: 'the stream fails', source: () => breaking(refused), error: refused },
  {
    what: 'the stream just closes',
    source: () => breaking(),
    error: { code: 'BAD_REQUEST', message: /ended before all/ },
  },
  {
    what: 'the client resets the connection',
    source: () => breaking(systemError('ECONNRESET')),
    error: { code: 'BAD_REQUEST', message: /^The upload ended before all of the file had arrived$/ },
  },
  {
    what: 'the stream has failed before anybody reads it',
    source: () => sourceOf(started().on('error', nothing).destroy(refused)),
    error: refused,
  },
  {
    what: 'the stream was destroyed before anybody reads it',
    source: () => sourceOf(started().destroy()),
    error: { code: 'BAD_REQUEST' },
  },
  { what: 'the body is short', length: 7, source: two, error: { code: 'BAD_REQUEST', message: /after 6 of 7 bytes/ } },
  { what: 'the body is long', length: 5, source: two, error: { code: 'BAD_REQUEST', message: /after 6 of 5 bytes/ } },
  { what: 'the body is empty', source: () => textSource(), error: { code: 'BAD_REQUEST', message: /empty/ } },
  { what: 'an empty body is announced', length: 0, source: () => textSource(), error: { code: 'BAD_REQUEST' } },
  {
    what: 'the source says that bytes are missing',
    source: () => ({ ...two(), complete: () => Promise.reject(refused) }),
    error: refused,
  },
  { what: 'the disk is full at once', source: two, disk: fullAfter(0, 'ENOSPC'), error: { code: 'NO_SPACE' } },
  {
    what: 'the disk is full at the very last piece, of a length that nobody knew',
    source: two,
    disk: fullAfter(5, 'ENOSPC'),
    error: { code: 'NO_SPACE', message: /^There is no room left on the disk$/ },
  },
  { what: 'the quota is used up', length: 6, source: two, disk: fullAfter(3, 'EDQUOT'), error: { code: 'NO_SPACE' } },
  { what: 'the disk fails', source: two, disk: fullAfter(5, 'EIO'), error: { code: 'EIO' } },
  {
    what: 'the disk is full when all is written',
    source: two,
    disk: (t) => beforeEach(t, 'sync', () => Promise.reject(systemError('ENOSPC'))),
    error: { code: 'NO_SPACE' },
  },
  { what: 'the check refuses the file', source: two, check: () => Promise.reject(refused), error: refused },
  {
    what: 'the rename fails',
    source: two,
    move: () => Promise.reject(systemError('EISDIR')),
    error: { code: 'EISDIR' },
  },
  {
    what: 'whoever is told of the progress throws',
    source: two,
    progress: () => {
      throw refused;
    },
    error: refused,
  },
];

for (const failure of failures) {
  t.test(`when ${failure.what}, no temporary file is left and the old file stays`, async (t) => {
    const { incoming, folder, target, released } = setUp(t, failure.length, failure.move, failure.check);
    const source = failure.source();
    await failure.disk?.(t);
    await t.rejects(
      incoming.take(() => source, failure.progress ?? nothing),
      failure.error,
    );
    t.same(await readdir(folder), []);
    t.equal(await readFile(target, 'utf8'), 'old');
    t.equal(released(), 1);
    t.equal(await descriptorsBelow(folder), 0, 'and no descriptor');
    await incoming.discard();
    t.equal(released(), 1, 'the name is given back once');
  });
}

t.test('a folder that is gone fails the upload and frees the name', async (t) => {
  const { incoming, folder, released } = setUp(t);
  await rm(folder, { recursive: true });
  await t.rejects(
    incoming.take(() => two(), nothing),
    { code: 'ENOENT' },
  );
  t.equal(released(), 1);
});

t.test('the check sees the whole file while the old one is still in its place', async (t) => {
  const { incoming, target, folder } = setUp(t, 6, undefined, async (path) => {
    t.equal(path, incoming.path);
    t.match(path, new RegExp(`^${folder}/[^/]+\\.part$`));
    t.equal(await readFile(path, 'utf8'), 'onetwo');
    t.equal(await readFile(target, 'utf8'), 'old');
  });
  await incoming.take(() => two(), nothing);
  t.equal(await readFile(target, 'utf8'), 'onetwo');
});

t.test('what the old file held is served until the rename', async (t) => {
  const { incoming, target } = setUp(t);
  const stream = started();
  const taken = incoming.take(() => sourceOf(stream), nothing);
  while (incoming.bytes === 0) await turn();
  t.equal(await readFile(target, 'utf8'), 'old');
  stream.push(null);
  await taken;
  t.equal(await readFile(target, 'utf8'), 'first');
});

t.test('after a full disk the request is still there to be answered, and may break later', async (t) => {
  const { incoming } = setUp(t);
  const stream = started();
  await fullAfter(0, 'ENOSPC')(t);
  await t.rejects(
    incoming.take(() => sourceOf(stream), nothing),
    { code: 'NO_SPACE' },
  );
  t.equal(stream.destroyed, false);
  t.equal(stream.isPaused(), true);
  t.equal(stream.listenerCount('data'), 0);
  stream.destroy(systemError('ECONNRESET'));
  // An error that nobody hears would end the process.
  await sleep(10);
});

t.test('a slow disk slows the client down and does not fill the memory', async (t) => {
  const chunk = Buffer.alloc(64 * 1024);
  const total = 200;
  const { incoming } = setUp(t, total * chunk.length);
  let produced = 0;
  let furthest = 0;
  const stream = new Readable({
    highWaterMark: 4 * chunk.length,
    read() {
      this.push(produced++ < total ? Buffer.from(chunk) : null);
    },
  });
  await beforeEach(t, 'writev', () => sleep(1));
  await incoming.take(
    () => sourceOf(stream),
    (bytes) => {
      furthest = Math.max(furthest, produced - bytes / chunk.length);
    },
  );
  t.equal(incoming.bytes, total * chunk.length);
  // 5 MiB that wait, the 64 KiB that were on the way when the stream was paused, and the stream's own buffer.
  t.ok(furthest <= 80 + 1 + 4, `${furthest} pieces were ahead of the disk, of ${total}`);
});

t.test('a name is given back even when the temporary file cannot be removed', async (t) => {
  const { incoming, released } = setUp(t);
  await mkdir(incoming.path);
  await t.rejects(incoming.discard(), { code: 'ERR_FS_EISDIR' });
  t.equal(released(), 1);
});

t.test('a file that is given up before a byte has come leaves nothing', async (t) => {
  const { incoming, folder, released } = setUp(t);
  await Promise.all([incoming.discard(), incoming.discard()]);
  t.equal(released(), 1);
  t.same(await readdir(folder), []);
});

t.test('a link in the place of the temporary file is not followed', async (t) => {
  const { incoming, target } = setUp(t, undefined, () => Promise.reject(refused));
  await symlink(target, incoming.path);
  await t.rejects(
    incoming.take(() => two(), nothing),
    refused,
  );
  t.equal(await readFile(target, 'utf8'), 'old');
});

interface Continuing {
  readonly folder: string;
  readonly target: string;
  /** What each claim said when it ended: whether its part can be continued. */
  readonly kept: boolean[];
  /** Claims the name again, in the same run or in the next one. */
  readonly claim: (options?: Partial<IncomingOptions>) => IncomingFile;
}

/** One part, and those who fill it one after the other. */
function setUpContinuing(t: Test): Continuing {
  const base = t.testdir({ transit: {}, stored: { 'x.iso': 'old' } });
  const target = join(base, 'stored', 'x.iso');
  const part = new Part(join(base, 'transit', 'x'), hashing);
  const kept: boolean[] = [];
  const claim = (options: Partial<IncomingOptions> = {}) =>
    new IncomingFile({
      ...{ name: 'x.iso', part, length: undefined, offset: 0, source: 'far', boot: 'now' },
      check: () => Promise.resolve(),
      reserve: () => Promise.resolve(),
      move: ({ path }) => rename(path, target),
      release: (isKept) => kept.push(isKept),
      ...options,
    });
  return { folder: join(base, 'transit'), target, kept, claim };
}

const origin = { validator: '"first"', length: 12 };

/** Five more bytes come, and then the far end is gone. */
async function breakOff(t: Test, incoming: IncomingFile): Promise<void> {
  const before = incoming.bytes;
  const stream = started();
  const appended = t.rejects(incoming.append(stream), refused);
  while (incoming.bytes === before) await turn();
  stream.destroy(refused);
  await appended;
}

t.test('a download goes on where it broke off, as often as it takes, and the file is whole', async (t) => {
  const { claim, kept, folder, target } = setUpContinuing(t);
  const incoming = claim();
  t.same([incoming.bytes, incoming.origin, incoming.length], [0, undefined, undefined]);
  await incoming.begin(origin);
  t.same([incoming.origin, incoming.length], [origin, 12]);
  await breakOff(t, incoming);
  t.equal(incoming.bytes, 5);
  await breakOff(t, incoming);
  await incoming.append(Readable.from([Buffer.from('!!')]));
  await incoming.finish();
  await incoming.end();
  t.equal(await readFile(target, 'utf8'), 'firstfirst!!');
  t.equal(incoming.sha256, createHash('sha256').update('firstfirst!!').digest('hex'));
  t.same(kept, [false]);
  t.same(await readdir(folder), []);
});

t.test('a download that is ended in the middle is kept with its origin, for the next one', async (t) => {
  const { claim, kept, folder, target } = setUpContinuing(t);
  const first = claim();
  await first.begin(origin);
  await breakOff(t, first);
  await Promise.all([first.end(), first.end(), first.ended]);
  t.same(kept, [true]);
  t.equal(await descriptorsBelow(folder), 0);
  t.match(JSON.parse(await readFile(join(folder, 'x.json'), 'utf8')), {
    ...{ name: 'x.iso', source: 'far', length: 12, origin, boot: 'now', synced: 5 },
  });
  const second = claim();
  t.same([second.bytes, second.origin], [5, origin]);
  await second.append(Readable.from([Buffer.from(' second')]));
  await second.finish();
  await second.end();
  t.equal(await readFile(target, 'utf8'), 'first second');
});

t.test('a download whose far end has another file by now begins anew, also in the middle', async (t) => {
  const { claim, target } = setUpContinuing(t);
  const incoming = claim();
  await incoming.begin(origin);
  await breakOff(t, incoming);
  const other = { validator: '"other"', length: 3 };
  await incoming.begin(other);
  t.same([incoming.bytes, incoming.origin, incoming.length], [0, other, 3]);
  await incoming.append(Readable.from([Buffer.from('new')]));
  await incoming.finish();
  await incoming.end();
  t.equal(await readFile(target, 'utf8'), 'new');
  t.equal(incoming.sha256, createHash('sha256').update('new').digest('hex'));
});

t.test('a download whose far end cannot say whether it still has the same file is not kept', async (t) => {
  const { claim, kept, folder } = setUpContinuing(t);
  const incoming = claim();
  const unsure = { validator: undefined, length: 12 };
  await incoming.begin(unsure);
  t.same(incoming.origin, unsure);
  await breakOff(t, incoming);
  await incoming.end();
  t.same(kept, [false]);
  t.same(await readdir(folder), []);
});

t.test('a download for which there is no room keeps what it has', async (t) => {
  const { claim, kept } = setUpContinuing(t);
  const first = claim();
  await first.begin(origin);
  await breakOff(t, first);
  await first.end();
  const asked: number[] = [];
  const reserve = (_: IncomingFile, bytes: number) => {
    asked.push(bytes);
    return Promise.reject(new ServiceError('NO_SPACE', 'no'));
  };
  const second = claim({ reserve });
  await t.rejects(second.begin({ validator: '"large"', length: 1000 }), { code: 'NO_SPACE' });
  await second.end();
  t.same(asked, [1000]);
  t.same(kept, [true, true]);
  t.same([claim().bytes, claim().origin], [5, origin]);
});

t.test('what is given up or fails for good is not kept', async (t) => {
  const { claim, kept, folder } = setUpContinuing(t);
  const begun = async (options?: Partial<IncomingOptions>) => {
    const incoming = claim(options);
    await incoming.begin({ validator: '"tag"', length: undefined });
    await incoming.append(Readable.from([Buffer.from('some')]));
    return incoming;
  };
  await (await begun()).discard();
  const short = await begun({ length: 5 });
  await t.rejects(short.finish(), { code: 'BAD_REQUEST', message: /after 4 of 5 bytes/ });
  await short.end();
  const wrong = await begun();
  wrong.demand({ sha256: 'a'.repeat(64) });
  await t.rejects(wrong.finish(), { code: 'DIGEST_MISMATCH' });
  await wrong.end();
  t.same(kept, [false, false, false]);
  t.same(await readdir(folder), []);
});

t.test('the file must have the digests that were demanded, also those of bytes from before', async (t) => {
  const { claim, target } = setUpContinuing(t);
  const first = claim();
  await first.begin(origin);
  await breakOff(t, first);
  await first.end();
  const digest = (algorithm: string) => createHash(algorithm).update('first!').digest('hex');
  const second = claim();
  second.demand({ sha512: digest('sha512'), md5: digest('md5') });
  await second.append(Readable.from([Buffer.from('!')]));
  await second.finish();
  await second.end();
  t.equal(await readFile(target, 'utf8'), 'first!');
  t.equal(second.sha256, digest('sha256'));
});

t.test('an upload that is interrupted ends soon, and its bytes are kept', async (t) => {
  const { claim, kept } = setUpContinuing(t);
  const incoming = claim({ length: 12 });
  t.equal(incoming.isEnding, false);
  const taken = incoming.take(() => sourceOf(started()), nothing);
  while (incoming.bytes === 0) await turn();
  const rejected = t.rejects(taken, { code: 'TIMEOUT' });
  await incoming.interrupt();
  await rejected;
  t.equal(incoming.isEnding, true);
  t.same(kept, [true]);
  const second = claim({ length: 12, offset: 5 });
  await second.take(() => textSource(' second'), nothing);
  t.equal(second.bytes, 12);
});

t.test('an upload that was interrupted before its first byte takes none', async (t) => {
  const { claim, kept, folder } = setUpContinuing(t);
  const incoming = claim();
  const interrupted = incoming.interrupt();
  await t.rejects(
    incoming.take(() => two(), nothing),
    { code: 'TIMEOUT' },
  );
  await interrupted;
  t.same(kept, [false]);
  t.same(await readdir(folder), []);
});

t.test('an upload knows how fast it is and for how long nothing has come', async (t) => {
  const { claim } = setUpContinuing(t);
  const incoming = claim();
  t.equal(incoming.rate, 0);
  t.equal(incoming.silence, 0);
  const stream = started();
  const taken = incoming.take(() => sourceOf(stream), nothing);
  while (incoming.rate === 0) await turn();
  t.equal(incoming.rate, 1, '5 bytes in 5 seconds');
  while (incoming.silence < 30) await sleep(5);
  stream.push('more');
  while (incoming.bytes === 5) await turn();
  t.ok(incoming.silence < 30);
  stream.push(null);
  await taken;
});
