import { createHash } from 'node:crypto';
import { getEventListeners } from 'node:events';
import { readdir, readlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type Algorithm, type Digests, Hashing, algorithms } from '../../lib/images/hashing.js';
import { makeFifo } from '../fixtures/folder-setup.js';
import { run } from '../fixtures/process.js';
import { Random } from '../fixtures/random.js';

function digestsOf(bytes: Buffer, wanted: readonly Algorithm[]): Digests {
  return Object.fromEntries(wanted.map((algorithm) => [algorithm, createHash(algorithm).update(bytes).digest('hex')]));
}

/** Bytes that have their memory for themselves, as those that a socket gives. */
function whole(bytes: Buffer | string): Buffer {
  const buffer = Buffer.allocUnsafeSlow(Buffer.byteLength(bytes));
  Buffer.from(bytes).copy(buffer);
  return buffer;
}

function start(t: Test, script?: URL): Hashing {
  const hashing = new Hashing(script);
  t.teardown(() => hashing.stop());
  return hashing;
}

const failing = new URL('../fixtures/failing-hash-worker.js', import.meta.url);

t.test('digests are those of the bytes, however they are cut, and wherever they lie', async (t) => {
  const hashing = start(t);
  const random = new Random(1);
  for (let run = 0; run < 30; run++) {
    const wanted = algorithms.filter(() => random.below(2) === 1);
    const chunks = Array.from({ length: random.below(12) }, () => {
      const bytes = Buffer.from(Array.from({ length: random.below(5000) }, () => random.below(256)));
      return random.pick([bytes, whole(bytes), whole(Buffer.concat([bytes, bytes])).subarray(bytes.length)]);
    });
    const expected = digestsOf(Buffer.concat(chunks), wanted);
    const hasher = hashing.open(wanted);
    // Some wait for each other and some do not.
    while (chunks.length > 0) {
      const done = hasher.update(chunks.splice(0, random.below(4)));
      if (random.below(2) === 1) await done;
    }
    t.same(await hasher.digest(), expected, `run ${run}`);
  }
});

t.test('several uploads are digested side by side, each by itself', async (t) => {
  const hashing = start(t);
  const texts = Array.from({ length: 20 }, (_, index) => `upload ${index}`);
  const results = await Promise.all(
    texts.map(async (text) => {
      const hasher = hashing.open(['sha256', 'md5']);
      for (const character of text) await hasher.update([Buffer.from(character)]);
      return hasher.digest();
    }),
  );
  t.same(
    results,
    texts.map((text) => digestsOf(Buffer.from(text), ['sha256', 'md5'])),
  );
});

t.test(
  'chunks are given away where nobody else has a part of their memory, and copied where somebody may',
  async (t) => {
    const hasher = start(t).open(['sha256']);
    const own = whole('first ');
    const some = whole('second third').subarray(0, 7);
    const pooled = Buffer.from('third');
    const taken = hasher.update([own, some, pooled]);
    t.equal(own.buffer.byteLength, 0);
    some.fill('x');
    pooled.fill('x');
    await taken;
    t.same(await hasher.digest(), digestsOf(Buffer.from('first second third'), ['sha256']));
  },
);

t.test('memory that was given away is free at once', async (t) => {
  const hasher = start(t).open(['sha256']);
  const bytes = 1024 * 1024;
  const sizes: number[] = [];
  for (let count = 0; count < 300; count++) {
    sizes.push(process.memoryUsage.rss());
    await hasher.update([Buffer.allocUnsafeSlow(bytes).fill(1)]);
  }
  const grown = Math.max(...sizes) - (sizes[0] ?? 0);
  t.ok(grown < 35 * bytes, `${grown} bytes`);
  hasher.discard();
});

t.test('what is left of a block behind the bytes does not count', async (t) => {
  const hasher = start(t).open(['sha256']);
  await hasher.update([whole('abcdef').subarray(2, 4)]);
  await hasher.update([Buffer.from('abcdef').subarray(2, 4)]);
  t.same(await hasher.digest(), digestsOf(Buffer.from('cdcd'), ['sha256']));
});

t.test('a digest that has ended, or was let go of, is gone', async (t) => {
  const hashing = start(t);
  const hasher = hashing.open(['md5']);
  await hasher.update([Buffer.from('a')]);
  await hasher.digest();
  await t.rejects(hasher.digest(), { message: /has ended already/ });
  await t.rejects(hasher.update([Buffer.from('b')]), { message: /has ended already/ });
  hasher.discard();
  const other = hashing.open(['md5']);
  const taken = other.update([whole('in the middle')]);
  other.discard();
  await t.resolves(taken, 'what was handed over before is taken');
  await t.rejects(other.digest(), { message: /has ended already/ });
  other.discard();
});

for (const end of ['exit', 'throw']) {
  t.test(`a thread that ends by ${end} fails what waits for it, and the next digest has a new one`, async (t) => {
    const hashing = start(t, failing);
    const bystander = hashing.open(['sha256']);
    await bystander.update([Buffer.from('a')]);
    const hasher = hashing.open(['sha256']);
    const waiting: Promise<unknown>[] = [hasher.update([Buffer.from(end)]), hasher.digest(), bystander.digest()];
    await Promise.all(waiting.map((each) => t.rejects(each, { code: 'INTERNAL', cause: Error })));
    await t.rejects(bystander.update([Buffer.from('b')]), { code: 'INTERNAL' }, 'its state has gone with the thread');
    bystander.discard();
    const next = hashing.open(['sha256']);
    await next.update([Buffer.from('c')]);
    t.same(await next.digest(), digestsOf(Buffer.from('c'), ['sha256']));
    t.same((await hashing.file('/dev/null', ['md5'])).md5, createHash('md5').digest('hex'));
  });
}

t.test('a thread that cannot start fails what waits for it', async (t) => {
  const hashing = start(t, new URL('nothing.js', import.meta.url));
  const hasher = hashing.open(['sha256']);
  await t.rejects(hasher.update([Buffer.from('a')]), { code: 'INTERNAL' });
  await t.rejects(hashing.file('/dev/null', ['sha256']), { code: 'INTERNAL' });
});

t.test('stopping ends whatever is being computed', async (t) => {
  const hashing = start(t);
  await hashing.stop();
  const hasher = hashing.open(['sha256']);
  await hasher.update([Buffer.from('a')]);
  const file = hashing.file('/dev/zero', ['sha256']);
  const digest = hasher.digest();
  const ended = Promise.all([t.rejects(file, { code: 'UNAVAILABLE' }), t.rejects(digest, { code: 'UNAVAILABLE' })]);
  await hashing.stop();
  await ended;
  await hashing.stop();
  t.same(await openAt('/dev/zero'), 0);
});

/** How many descriptors of the process lead to a path. */
async function openAt(path: string): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const targets = await Promise.all(names.map((name) => readlink(`/proc/self/fd/${name}`).catch(() => '')));
  return targets.filter((target) => target === path).length;
}

/** Waits until a condition holds. */
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(2);
}

t.test('the digests of a file are those of its bytes, whatever its size', async (t) => {
  const folder = t.testdir();
  const hashing = start(t);
  const step = 4 * 1024 * 1024;
  for (const size of [0, 1, step - 1, step, step + 1, 2 * step + 5]) {
    const bytes = Buffer.alloc(size, 'some text of odd length');
    await writeFile(join(folder, 'file'), bytes);
    t.same(await hashing.file(join(folder, 'file'), algorithms), digestsOf(bytes, algorithms), `${size} bytes`);
  }
  t.equal(await openAt(join(folder, 'file')), 0);
});

t.test('files of which no digest can be had fail with the code of the system', async (t) => {
  const folder = t.testdir();
  const hashing = start(t);
  await t.rejects(hashing.file(join(folder, 'nothing'), ['sha256']), { code: 'ENOENT' });
  await t.rejects(hashing.file(folder, ['sha256']), { code: 'EISDIR' });
  t.equal(await openAt(folder), 0);
});

t.test('a named pipe without another end does not hold anybody up', async (t) => {
  const path = join(t.testdir(), 'pipe');
  await makeFifo(path);
  t.same(await start(t).file(path, ['md5']), digestsOf(Buffer.alloc(0), ['md5']));
});

t.test('the digest of a file can be ended, and then nothing of it is left', async (t) => {
  const hashing = start(t);
  const end = new AbortController();
  // /dev/zero never ends by itself.
  const digest = hashing.file('/dev/zero', ['sha256'], end.signal);
  await until(async () => (await openAt('/dev/zero')) === 1);
  end.abort(new Error('any reason'));
  await t.rejects(digest, { name: 'AbortError' });
  t.equal(await openAt('/dev/zero'), 0);
  t.same(getEventListeners(end.signal, 'abort'), []);
  await t.rejects(hashing.file('/dev/zero', ['sha256'], end.signal), { name: 'AbortError' });
});

t.test('a file that was read to its end leaves nothing behind at its signal', async (t) => {
  const { signal } = new AbortController();
  const hashing = start(t);
  await hashing.file('/dev/null', ['sha256'], signal);
  await t.rejects(hashing.file('/nothing', ['sha256'], signal), { code: 'ENOENT' });
  t.same(getEventListeners(signal, 'abort'), []);
});

t.test('uploads and other files go on while a file without end is being read', async (t) => {
  const folder = t.testdir({ small: 'small' });
  const hashing = start(t);
  const end = new AbortController();
  const endless = ['/dev/zero', '/dev/zero'].map((path) => hashing.file(path, ['sha256'], end.signal));
  await until(async () => (await openAt('/dev/zero')) === 2);
  const hasher = hashing.open(['sha256']);
  for (let count = 0; count < 20; count++) await hasher.update([whole('x')]);
  t.same(await hasher.digest(), digestsOf(Buffer.alloc(20, 'x'), ['sha256']));
  t.same(await hashing.file(join(folder, 'small'), ['md5']), digestsOf(Buffer.from('small'), ['md5']));
  end.abort();
  await Promise.all(endless.map((each) => t.rejects(each, { name: 'AbortError' })));
});

t.test('a process gets the digest that it waits for, and then ends by itself', async (t) => {
  const code = `
    import { Hashing } from ${JSON.stringify(new URL('../../lib/images/hashing.js', import.meta.url).href)};
    const hashing = new Hashing();
    const left = hashing.open(['sha256']);
    const hasher = hashing.open(['md5']);
    await hasher.update([Buffer.from('abc')]);
    console.log((await hasher.digest()).md5);`;
  const { code: status, stdout } = await run(process.execPath, ['--input-type=module', '-e', code]);
  t.equal(stdout, '900150983cd24fb0d6963f7d28e17f72\n');
  t.equal(status, 0);
});
