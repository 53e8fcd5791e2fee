import { createHash } from 'node:crypto';
import { readdir, readFile, rename, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Algorithm, type Digests, Hashing, algorithms } from '../../lib/images/hashing.js';
import { Part, type PartRecord, bootOf } from '../../lib/images/part.js';
import { beforeEach, systemError, writeAtMost } from '../fixtures/disk.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { Random } from '../fixtures/random.js';

const hashing = new Hashing();
t.teardown(() => hashing.stop());

const record: PartRecord = { name: 'x.iso', source: 'upload', length: 100, boot: 'now', synced: 0 };
const sha256: readonly Algorithm[] = ['sha256'];

function digestsOf(bytes: Buffer, wanted: readonly Algorithm[]): Digests {
  return Object.fromEntries(wanted.map((algorithm) => [algorithm, createHash(algorithm).update(bytes).digest('hex')]));
}

/** A part that nothing is in, and a folder that has nothing but the part. */
function setUp(t: Test) {
  const folder = t.testdir({});
  return { folder, part: new Part(join(folder, 'x'), hashing) };
}

async function add(part: Part, text: string, wanted = sha256): Promise<void> {
  await part.open(wanted);
  await part.write([Buffer.from(text)]);
}

/** The part as another run of the service finds it. */
async function found(folder: string): Promise<Part> {
  const saved = JSON.parse(await readFile(join(folder, 'x.json'), 'utf8')) as PartRecord;
  return new Part(join(folder, 'x'), hashing, saved, saved.synced);
}

t.test('bytes and digests are right after any sequence of writing, pausing, going on and beginning anew', async (t) => {
  const random = new Random(7);
  for (let run = 0; run < 30; run++) {
    const { part: first, folder } = setUp(t);
    let part = first;
    let bytes = Buffer.alloc(0);
    let wanted = sha256;
    const steps: (() => Promise<void>)[] = [
      async () => {
        const more = Buffer.from(random.text('abcdef', 3000));
        await part.open(wanted);
        bytes = Buffer.concat([bytes, more]);
        const middle = random.below(more.length + 1);
        await part.write([more.subarray(0, middle), more.subarray(middle)]);
      },
      () => part.pause(),
      async () => {
        await part.pause();
        wanted = [...sha256, ...algorithms.slice(1).filter(() => random.below(2) === 1)];
      },
      async () => {
        await part.pause();
        part = await found(folder);
      },
      async () => {
        await part.startOver(record);
        bytes = Buffer.alloc(0);
      },
    ];
    await part.startOver(record);
    for (let step = 0; step < 25; step++) {
      // Twice as often as anything else: bytes.
      await steps[Math.max(0, random.below(steps.length + 1) - 1)]?.();
      t.equal(part.bytes, bytes.length, `run ${run}, step ${step}`);
    }
    await part.open(wanted);
    t.match(await part.finish(), digestsOf(bytes, wanted), `run ${run}`);
    t.ok(bytes.equals(await readFile(part.path)), `run ${run}`);
    t.equal(await descriptorsBelow(folder), 0);
    await part.remove();
    t.same(await readdir(folder), []);
  }
});

t.test('a digest that is made up for many bytes is that of all of them', async (t) => {
  const { part, folder } = setUp(t);
  const bytes = Buffer.alloc(2 * 1024 * 1024 + 3, 'some text of odd length');
  await part.startOver(record);
  await part.open(sha256);
  await part.write([Buffer.from(bytes)]);
  await part.pause();
  const again = await found(folder);
  await again.open(algorithms);
  t.same(await again.finish(), digestsOf(bytes, algorithms));
});

t.test('a part that is open can begin anew, as a download whose far end has another file by now', async (t) => {
  const { part } = setUp(t);
  await part.startOver(record);
  await add(part, 'old and long');
  await part.startOver({ ...record, length: 3 });
  t.equal(part.bytes, 0);
  await add(part, 'new');
  t.same(await part.finish(), digestsOf(Buffer.from('new'), sha256));
  t.equal(await readFile(part.path, 'utf8'), 'new');
});

t.test(
  'when the digest fails so does the next write, and a part that begins anew has nothing to do with that',
  async (t) => {
    const failing = new Hashing(new URL('../fixtures/failing-hash-worker.js', import.meta.url));
    t.teardown(() => failing.stop());
    const part = new Part(join(t.testdir({}), 'x'), failing);
    await part.startOver(record);
    await add(part, 'exit');
    await t.rejects(part.write([Buffer.from('more')]), { code: 'INTERNAL' });
    await part.startOver(record);
    await add(part, 'new');
    t.same(await part.finish(), digestsOf(Buffer.from('new'), sha256));
  },
);

t.test('of a part that begins anew the old bytes are gone before the new record is there', async (t) => {
  const { part, folder } = setUp(t);
  await part.startOver(record);
  await add(part, 'old');
  await part.pause();
  await part.startOver({ ...record, source: 'another' });
  t.same(await readdir(folder), ['x.json']);
  await part.startOver(undefined);
  t.same(await readdir(folder), [], 'and of one that nobody can continue nothing is said');
});

t.test('the record says what is safe on the disk, and nobody else may read it', async (t) => {
  const { part, folder } = setUp(t);
  const file = join(folder, 'x.json');
  await part.startOver(record);
  await add(part, 'seven..');
  t.same(JSON.parse(await readFile(file, 'utf8')), record);
  let synced = 0;
  await beforeEach(t, 'sync', async () => {
    synced += 1;
    t.same(JSON.parse(await readFile(file, 'utf8')), record, 'it is said only afterwards');
  });
  await part.pause();
  t.equal(synced, 1);
  t.same(JSON.parse(await readFile(file, 'utf8')), { ...record, synced: 7 });
  t.equal((await stat(file)).mode & 0o777, 0o600);
});

t.test('a write that the disk takes only in part goes on with the rest', async (t) => {
  const { part } = setUp(t);
  await part.startOver(undefined);
  await writeAtMost(t, 3);
  await part.open(sha256);
  await part.write(['in ', 'several', '', ' ', 'pieces'].map((text) => Buffer.from(text)));
  t.same(await part.finish(), digestsOf(Buffer.from('in several pieces'), sha256));
  t.equal(await readFile(part.path, 'utf8'), 'in several pieces');
});

t.test('bytes behind those that count are cut off when a part goes on', async (t) => {
  const { folder } = setUp(t);
  await writeFile(join(folder, 'x.part'), 'safe and not');
  const part = new Part(join(folder, 'x'), hashing, record, 4);
  await add(part, '!');
  t.same(await part.finish(), digestsOf(Buffer.from('safe!'), sha256));
  t.equal(await readFile(part.path, 'utf8'), 'safe!');
});

for (const [what, harm] of [
  ['removed', (path: string) => rm(path)],
  ['shortened', (path: string) => truncate(path, 3)],
] as const) {
  t.test(`a part whose bytes somebody has ${what} does not go on with zeros in their place`, async (t) => {
    const { part, folder } = setUp(t);
    await part.startOver(record);
    await add(part, 'seven..');
    await part.pause();
    await harm(part.path);
    await t.rejects(part.open(sha256), { message: /lost bytes/ });
    t.equal(await descriptorsBelow(folder), 0);
    await part.remove();
    t.same(await readdir(folder), []);
  });
}

t.test('a link in the place of the bytes is not followed', async (t) => {
  const { part, folder } = setUp(t);
  const target = join(folder, 'target');
  await writeFile(target, 'untouched');
  await part.startOver(undefined);
  await symlink(target, part.path);
  await t.rejects(part.open(sha256), { code: 'ELOOP' });
  await part.startOver(undefined);
  await add(part, 'new');
  await part.remove();
  t.equal(await readFile(target, 'utf8'), 'untouched');
  t.same(await readdir(folder), ['target']);
});

t.test('a part whose bytes have got their name leaves nothing, however often it is removed', async (t) => {
  const { part, folder } = setUp(t);
  await part.startOver(record);
  await add(part, 'whole');
  await part.finish();
  await rename(part.path, join(folder, 'x.iso'));
  await part.remove();
  await part.remove();
  t.same(await readdir(folder), ['x.iso']);
});

t.test('a part that is not open takes nothing', async (t) => {
  const { part } = setUp(t);
  await t.rejects(part.write([Buffer.from('x')]), { message: /not open/ });
  await t.rejects(part.finish(), { message: /not open/ });
  await t.resolves(part.pause());
});

t.test('no descriptor stays open when the disk fails', async (t) => {
  const { part, folder } = setUp(t);
  const opened = async () => {
    await part.startOver(record);
    await add(part, 'some');
  };
  await opened();
  await t.test('at the last bytes', async (t) => {
    await beforeEach(t, 'sync', () => Promise.reject(systemError('EIO')));
    await t.rejects(part.pause(), { code: 'EIO' });
    t.equal(await descriptorsBelow(folder), 0);
    await opened();
    await t.rejects(part.finish(), { code: 'EIO' });
    await part.remove();
    t.equal(await descriptorsBelow(folder), 0);
  });
  await t.test('in the middle', async (t) => {
    await opened();
    await beforeEach(t, 'writev', () => Promise.reject(systemError('ENOSPC')));
    await t.rejects(part.write([Buffer.from('more')]), { code: 'ENOSPC' });
    t.equal(part.bytes, 4);
    await part.remove();
    t.equal(await descriptorsBelow(folder), 0);
    t.same(await readdir(folder), []);
  });
});

t.test('the last byte of a part is as old as the last write', async (t) => {
  const { folder } = setUp(t);
  const part = new Part(join(folder, 'x'), hashing, undefined, 0, 1);
  t.equal(part.touched, 1);
  const before = Date.now();
  await add(part, 'x');
  t.ok(part.touched >= before);
  await part.remove();
});

t.test('a file of any name has a place for its part, and two files have two', (t) => {
  const names = ['x', 'X', 'ä'.repeat(127), 'a'.repeat(255), '"quoted"', 'line\nfeed', ' ', '-'];
  const stems = names.map((name) => Part.stemOf('/f', name));
  for (const stem of stems) t.match(stem, /^\/f\/[0-9a-f]{32}$/);
  t.equal(new Set(stems).size, names.length);
  t.end();
});

t.test('one boot of the machine has one name', async (t) => {
  t.match(await bootOf(), /^[0-9a-f-]{36}$/);
  t.equal(await bootOf(), await bootOf());
});
