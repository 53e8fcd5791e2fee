import { createHash } from 'node:crypto';
import { appendFile, mkdir, readFile, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { privateFolder } from '../../lib/folder.js';
import { BackgroundDigests, checkOwnName, checksumsName } from '../../lib/images/background-digests.js';
import { type Algorithm, type Digests, Hashing } from '../../lib/images/hashing.js';
import { StoreState } from '../../lib/images/store-state.js';
import { createLog } from '../../lib/log.js';
import { systemError } from '../fixtures/disk.js';
import { makeFifo } from '../fixtures/folder-setup.js';
import { deferred } from '../fixtures/http-server.js';
import { run } from '../fixtures/process.js';
import { waitFor } from '../fixtures/wait.js';

/** Real digests, but for what the test puts before them. */
class WatchedHashing extends Hashing {
  readonly read: string[] = [];
  before: (path: string, signal: AbortSignal | undefined) => Promise<void> = () => Promise.resolve();

  override async file(path: string, algorithms: readonly Algorithm[], signal?: AbortSignal): Promise<Digests> {
    this.read.push(path.slice(path.lastIndexOf('/') + 1));
    await this.before(path, signal);
    return super.file(path, algorithms, signal);
  }
}

async function setUp(t: Test) {
  const folder = t.testdir({ [privateFolder]: {} });
  const said: string[] = [];
  const log = createLog(0, (line) => said.push(line));
  const state = await StoreState.open(join(folder, privateFolder, 'store.json'), folder, log);
  const hashing = new WatchedHashing();
  t.teardown(() => hashing.stop());
  const background = new BackgroundDigests(folder, state, { hashing, log });
  const digestOf = async (name: string) => state.digestOf(name, await stat(join(folder, name), { bigint: true }));
  /** Resolves when all names that were added so far are dealt with. */
  const done = async () => {
    const mark = `mark-${hashing.read.length}`;
    await copy(folder, mark, mark);
    background.add(mark);
    // The last thing that is done about a file.
    await waitFor('its turn', () => said.some((line) => line.includes(`${mark}: its SHA-256`)));
    await rm(join(folder, mark));
  };
  return { folder, said, hashing, background, digestOf, done };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

/** Puts a file there by hand, so long ago that it counts as complete. */
async function copy(folder: string, name: string, text: string, secondsAgo = 10): Promise<void> {
  await writeFile(join(folder, name), text);
  const then = Date.now() / 1000 - secondsAgo;
  await utimes(join(folder, name), then, then);
}

t.test('a file that was copied by hand gets its digest, and the log says so', async (t) => {
  const { folder, said, background, digestOf, done } = await setUp(t);
  await copy(folder, 'x.iso', 'content');
  background.add('x.iso');
  await done();
  t.equal(await digestOf('x.iso'), sha256('content'));
  t.match(said[0], new RegExp(` info +x.iso: its SHA-256 is ${sha256('content')}`));
});

t.test('a file that is still being copied is left alone until it is complete', async (t) => {
  const { folder, hashing, background, digestOf, done } = await setUp(t);
  await copy(folder, 'x.iso', 'cont', 0);
  await copy(folder, 'y.iso', 'from tomorrow', -86_400);
  for (const name of ['x.iso', 'y.iso']) background.add(name);
  await done();
  t.equal(await digestOf('x.iso'), undefined);
  t.notOk(hashing.read.some((name) => name.endsWith('.iso')));
  await copy(folder, 'x.iso', 'content');
  background.add('x.iso');
  await done();
  t.equal(await digestOf('x.iso'), sha256('content'));
});

t.test('nothing but a file is read: no link, no folder, no named pipe, nothing', async (t) => {
  const { folder, said, hashing, background, done } = await setUp(t);
  await copy(folder, 'x.iso', 'content');
  await symlink('x.iso', join(folder, 'link.iso'));
  await mkdir(join(folder, 'folder'));
  await makeFifo(join(folder, 'fifo'));
  await utimes(join(folder, 'fifo'), 1, 1);
  for (const name of ['link.iso', 'folder', 'fifo', 'missing.iso']) background.add(name);
  await done();
  t.match(hashing.read, [/^mark-/]);
  t.equal(said.length, 1, 'but for the mark nothing is said');
});

const changes: readonly (readonly [what: string, change: (path: string) => Promise<void>])[] = [
  ['grows', (path) => appendFile(path, '!').then(() => utimes(path, 1000, 1000))],
  ['is written to', (path) => utimes(path, 1001, 1001)],
  [
    'is replaced by one of the same size and time',
    async (path) => {
      await writeFile(`${path}.new`, 'CONTENT');
      await utimes(`${path}.new`, 1000, 1000);
      await rename(`${path}.new`, path);
    },
  ],
];

for (const [what, change] of changes) {
  t.test(`a file that ${what} while it is read gets no digest, and is read again the next time`, async (t) => {
    const { folder, hashing, background, digestOf, done } = await setUp(t);
    const path = join(folder, 'x.iso');
    await copy(folder, 'x.iso', 'content');
    await utimes(path, 1000, 1000);
    hashing.before = async (read) => {
      if (read === path && hashing.read.length === 1) await change(path);
    };
    background.add('x.iso');
    await done();
    t.equal(await digestOf('x.iso'), undefined);
    background.add('x.iso');
    await done();
    t.equal(await digestOf('x.iso'), sha256(await readFile(path, 'utf8')));
  });
}

t.test('a file that waits or is being read is not read once more', async (t) => {
  const { folder, hashing, background, done } = await setUp(t);
  for (const name of ['x.iso', 'y.iso']) await copy(folder, name, name);
  for (const name of ['x.iso', 'y.iso', 'x.iso', 'y.iso', 'x.iso']) background.add(name);
  await done();
  t.match(hashing.read, ['x.iso', 'y.iso', /^mark-/]);
});

t.test('a file that cannot be read is reported, and the others get their digests', async (t) => {
  const { folder, said, hashing, background, digestOf, done } = await setUp(t);
  for (const name of ['x.iso', 'y.iso']) await copy(folder, name, name);
  hashing.before = (path) => (path.endsWith('x.iso') ? Promise.reject(systemError('EIO')) : Promise.resolve());
  background.add('x.iso');
  background.add('y.iso');
  await done();
  t.equal(await digestOf('x.iso'), undefined);
  t.equal(await digestOf('y.iso'), sha256('y.iso'));
  t.match(said[0], / warning +The digest of x.iso could not be computed: EIO/);
});

t.test('stopping ends the reading at once and silently', async (t) => {
  const { folder, said, hashing, background } = await setUp(t);
  await copy(folder, 'x.iso', 'content');
  const reading = deferred();
  const ended = deferred<string>();
  hashing.before = (_path, signal) => {
    reading.resolve();
    return new Promise((_resolve, reject) => {
      signal?.addEventListener('abort', () => {
        ended.resolve('ended');
        reject(new Error('aborted'));
      });
    });
  };
  background.add('x.iso');
  await reading.promise;
  background.stop();
  t.equal(await ended.promise, 'ended');
  await background.writeList(() => Promise.resolve([]));
  t.same(said, []);
});

const oddNames = ['x.iso', 'with space', ' x', 'back\\slash', 'line\nfeed', 'return\r', '*star', '-dash', '"ü"', '#'];

t.test('the list passes sha256sum, whatever the names, and leaves out what has no digest', async (t) => {
  const { folder, background } = await setUp(t);
  for (const name of oddNames) await writeFile(join(folder, name), `content of ${name}`);
  const files = oddNames.map((name) => ({ name, sha256: sha256(`content of ${name}`) }));
  const path = join(folder, privateFolder, checksumsName);
  const write = (sha256: string | undefined) =>
    background.writeList(() => Promise.resolve([...files, { name: 'missing', sha256 }]));
  const check = () => run('sha256sum', ['--check', '--strict', '--quiet', path], { cwd: folder });
  await write(undefined);
  t.match(await check(), { code: 0, stdout: '', stderr: '' });
  t.equal((await readFile(path, 'utf8')).split('\n').length - 1, oddNames.length);
  await write('a'.repeat(64));
  t.equal((await check()).code, 1, 'a file that is listed and missing is found out');
});

t.test('a list that came with the files is not in ours: what is served under its name is ours', async (t) => {
  const { folder, background } = await setUp(t);
  const sum = 'a'.repeat(64);
  const names = [checksumsName, 'x.iso', `${checksumsName}.gpg`];
  await background.writeList(() => Promise.resolve(names.map((name) => ({ name, sha256: sum }))));
  const text = await readFile(join(folder, privateFolder, checksumsName), 'utf8');
  t.equal(text, `${sum}  x.iso\n${sum}  ${checksumsName}.gpg\n`);
});

t.test('the list is replaced only by another one, as it is served under a tag that goes by its time', async (t) => {
  const { folder, background } = await setUp(t);
  const path = join(folder, privateFolder, checksumsName);
  const write = (...names: string[]) =>
    background.writeList(() => Promise.resolve(names.map((name) => ({ name, sha256: 'a'.repeat(64) }))));
  const stamp = async () => {
    const { ino, mtimeNs } = await stat(path, { bigint: true });
    return [ino, mtimeNs];
  };
  await write();
  t.equal(await readFile(path, 'utf8'), '', 'without files it is empty');
  await write('x.iso');
  const first = await stamp();
  await Promise.all([write('x.iso'), write('x.iso')]);
  t.same(await stamp(), first);
  await Promise.all([write('x.iso', 'y.iso'), write('z.iso')]);
  t.notSame(await stamp(), first);
  t.match(await readFile(path, 'utf8'), / {2}z.iso\n$/, 'the last one counts');
});

t.test('a list that cannot be written is told to whoever wants it, and the next one is tried again', async (t) => {
  const { folder, background } = await setUp(t);
  await rm(join(folder, privateFolder), { recursive: true });
  await t.rejects(
    background.writeList(() => Promise.resolve([])),
    { code: 'ENOENT' },
  );
  await mkdir(join(folder, privateFolder));
  await t.resolves(background.writeList(() => Promise.resolve([])));
});

t.test('no file can have the name of the list', (t) => {
  t.throws(() => checkOwnName('SHA256SUMS'), { code: 'BAD_REQUEST', message: /SHA256SUMS is made by the service/ });
  for (const name of ['sha256sums', 'SHA256SUMS.gpg', 'x.iso']) t.doesNotThrow(() => checkOwnName(name), name);
  t.end();
});
