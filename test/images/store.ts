import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFile,
  chmod,
  lstat,
  mkdir,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  stat,
  statfs,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { Hashing } from '../../lib/images/hashing.js';
import { Store } from '../../lib/images/store.js';
import { createLog } from '../../lib/log.js';
import { privateFolder } from '../../lib/folder.js';
import { systemError } from '../fixtures/disk.js';
import { makeFifo } from '../fixtures/folder-setup.js';
import { run } from '../fixtures/process.js';
import { waitFor } from '../fixtures/wait.js';

const writer = fileURLToPath(new URL('../fixtures/store-writer.js', import.meta.url));

async function openStore(folder: string, said: string[] = []): Promise<Store> {
  const log = createLog(0, (line) => said.push(line));
  return Store.open(folder, { log, hashing: new Hashing(), keptFor: () => 86_400_000 });
}

/** A store in a folder of its own; `outside` is a folder beside it. */
async function setUp(t: Test) {
  const base = await realpath(t.testdir({ store: {}, outside: { 'far.iso': 'far away', 'other.iso': 'other' } }));
  const folder = join(base, 'store');
  return { store: await openStore(folder), folder, outside: join(base, 'outside') };
}

async function put(store: Store, name: string, text: string): Promise<void> {
  const incoming = await store.receive(name);
  const stream = Readable.from([Buffer.from(text)]);
  await incoming.take(
    () => ({ stream, complete: () => Promise.resolve() }),
    () => undefined,
  );
}

/** An upload that has begun and goes on until the test ends it. */
async function begin(store: Store, name: string) {
  const incoming = await store.receive(name);
  const stream = new Readable({ read: () => undefined });
  const taken = incoming.take(
    () => ({ stream, complete: () => Promise.resolve() }),
    () => undefined,
  );
  stream.push('begin');
  while (incoming.bytes === 0) await turn();
  return { stream, taken };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function temporaries(folder: string): Promise<string[]> {
  return readdir(join(folder, privateFolder)).then((names) => names.filter((name) => name.endsWith('.part')));
}

async function names(store: Store): Promise<string[]> {
  return (await store.list()).map(({ name }) => name);
}

t.test('a missing folder is made, and a store knows its real path', async (t) => {
  const base = await realpath(t.testdir({}));
  const { folder } = await openStore(join(base, 'a', 'b'));
  t.equal(folder, join(base, 'a', 'b'));
  await symlink('a/b', join(base, 'link'));
  const store = await openStore(join(base, 'link'));
  t.equal(store.folder, folder);
  t.equal(store.pathOf('x.iso'), join(folder, 'x.iso'));
  t.same(await store.list(), []);
});

t.test('a received file is stored with its size, time and digest, also after a restart', async (t) => {
  const { store, folder } = await setUp(t);
  await put(store, 'x.iso', 'content');
  const { mtime } = await stat(join(folder, 'x.iso'), { bigint: true });
  const file = { name: 'x.iso', bytes: 7, modified: mtime, sha256: sha256('content') };
  t.equal(await readFile(join(folder, 'x.iso'), 'utf8'), 'content');
  t.same(await store.find('x.iso'), file);
  t.same(await store.list(), [file]);
  t.same(await (await openStore(folder)).list(), [file]);
});

t.test('a file that was changed by hand has no digest, whatever changed', async (t) => {
  const { store, folder } = await setUp(t);
  for (const name of ['grown', 'touched', 'replaced', 'kept']) await put(store, name, 'content');
  await appendFile(join(folder, 'grown'), '!');
  // Times to come: a file that has rested for a while would soon have a digest again. Two of its own also because the
  // kernel's clock may not have moved since the upload.
  const [later, latest] = [Date.now() / 1000 + 3600, Date.now() / 1000 + 7200];
  await utimes(join(folder, 'touched'), later, later);
  await rm(join(folder, 'replaced'));
  await writeFile(join(folder, 'replaced'), 'CONTENT');
  await utimes(join(folder, 'replaced'), latest, latest);
  await writeFile(join(folder, 'by-hand'), 'content');
  for (const one of [store, await openStore(folder)]) {
    const digests = (await one.list()).map((file) => [file.name, file.sha256]);
    t.same(digests, [
      ['by-hand', undefined],
      ['grown', undefined],
      ['kept', sha256('content')],
      ['replaced', undefined],
      ['touched', undefined],
    ]);
  }
});

t.test('a file that was replaced by hand with the size and the time of before does not keep its digest', async (t) => {
  const { store, folder } = await setUp(t);
  for (const name of ['copied', 'written', 'kept']) await put(store, name, 'content');
  for (const name of ['copied', 'written']) {
    const from = name === 'copied' ? `${name}.new` : name;
    const { ctimeNs, mtimeNs } = await stat(join(folder, name), { bigint: true });
    const times = join(folder, '.times');
    await run('touch', ['-r', join(folder, name), times]);
    // The kernel's clock may not have moved since the upload.
    do {
      await writeFile(join(folder, from), 'CONTENT');
      await run('touch', ['-r', times, join(folder, from)]);
    } while ((await stat(join(folder, from), { bigint: true })).ctimeNs === ctimeNs);
    t.equal((await stat(join(folder, from), { bigint: true })).mtimeNs, mtimeNs);
    if (name === 'copied') await rename(join(folder, from), join(folder, name));
  }
  for (const one of [store, await openStore(folder)]) {
    t.same(
      (await Promise.all(['copied', 'written', 'kept'].map((name) => one.find(name)))).map((file) => file?.sha256),
      [undefined, undefined, sha256('content')],
    );
    await one.stop();
  }
});

t.test('a digest that an earlier version kept, without the time of change, is computed anew', async (t) => {
  const { store, folder } = await setUp(t);
  await put(store, 'x.iso', 'content');
  await utimes(join(folder, 'x.iso'), 1000, 1000);
  await store.stop();
  const { size, mtimeNs } = await stat(join(folder, 'x.iso'), { bigint: true });
  const old = { sha256: sha256('other'), size: String(size), mtimeNs: String(mtimeNs) };
  await writeFile(join(folder, privateFolder, 'store.json'), JSON.stringify({ digests: { 'x.iso': old }, links: {} }));
  const said: string[] = [];
  const again = await openStore(folder, said);
  await waitFor('the digest', () => said.some((line) => line.includes('SHA-256')));
  t.equal((await again.find('x.iso'))?.sha256, sha256('content'));
  t.notOk(said.some((line) => line.includes(' warning ')));
  await again.stop();
});

t.test('of many files that arrive at once every digest is remembered', async (t) => {
  const { store, folder } = await setUp(t);
  const wanted = Array.from({ length: 30 }, (_, index) => `${index + 10}.iso`);
  await Promise.all(wanted.map((name) => put(store, name, `content of ${name}`)));
  const said: string[] = [];
  const files = await (await openStore(folder, said)).list();
  t.same(
    files.map((file) => [file.name, file.sha256]),
    wanted.map((name) => [name, sha256(`content of ${name}`)]),
  );
  t.same(said, []);
});

t.test('what a killed run has left unfinished is cleared away at the next start, and nothing else', async (t) => {
  const { store, folder } = await setUp(t);
  await put(store, 'x.iso', 'content');
  await writeFile(join(folder, privateFolder, 'a.part'), 'half');
  await writeFile(join(folder, privateFolder, 'notes'), 'whole');
  await openStore(folder);
  t.same(await readdir(join(folder, privateFolder)), ['notes', 'store.json']);
  t.same(await names(store), ['x.iso']);
});

t.test('the list shows complete files and links to files, by name, and nothing else', async (t) => {
  const { store, folder, outside } = await setUp(t);
  await writeFile(join(folder, 'b.iso'), '');
  await writeFile(join(folder, 'B.iso'), '');
  await writeFile(join(folder, 'a b.iso'), '');
  await writeFile(join(folder, '.hidden'), '');
  await mkdir(join(folder, 'folder'));
  await makeFifo(join(folder, 'fifo'));
  await symlink(join(outside, 'far.iso'), join(folder, 'link.iso'));
  await symlink('nowhere', join(folder, 'dangling.iso'));
  await symlink('loop.iso', join(folder, 'loop.iso'));
  await symlink(outside, join(folder, 'link-to-folder'));
  const { stream, taken } = await begin(store, 'arriving.iso');
  t.same(await names(store), ['B.iso', 'a b.iso', 'b.iso', 'link.iso']);
  t.equal((await store.find('link.iso'))?.bytes, 8);
  for (const name of ['folder', 'fifo', 'dangling.iso', 'loop.iso', 'arriving.iso', 'b.iso/below']) {
    t.equal(await store.find(name), undefined, name);
  }
  stream.push(null);
  await taken;
  t.ok((await names(store)).includes('arriving.iso'));
});

t.test('a link into a folder that is closed to the service does not spoil the list', async (t) => {
  const { store, folder, outside } = await setUp(t);
  await put(store, 'x.iso', 'content');
  await symlink(join(outside, 'far.iso'), join(folder, 'closed.iso'));
  const isRoot = process.geteuid?.() === 0;
  await chmod(outside, 0);
  if (isRoot) process.seteuid?.(65534);
  try {
    t.same(await names(store), ['x.iso']);
  } finally {
    if (isRoot) process.seteuid?.(0);
    await chmod(outside, 0o755);
  }
});

t.test('bytes in transit lie in a folder of their own, on the same file system', async (t) => {
  const { store, folder } = await setUp(t);
  const { stream, taken } = await begin(store, 'x.iso');
  t.equal((await temporaries(folder)).length, 1);
  t.same(await readdir(folder), [privateFolder]);
  stream.push(null);
  await taken;
  t.same(await temporaries(folder), []);
});

t.test('while a file arrives its name is taken at once, and free again as soon as it has failed', async (t) => {
  const { store, folder } = await setUp(t);
  await put(store, 'x.iso', 'old');
  const { stream, taken } = await begin(store, 'x.iso');
  await t.rejects(store.receive('x.iso'), { code: 'BUSY' });
  await t.rejects(store.remove('x.iso'), { code: 'BUSY' });
  await t.rejects(store.link('x.iso', join(folder, 'y.iso')), { code: 'BUSY' });
  stream.destroy(systemError('ECONNRESET'));
  await t.rejects(taken, { code: 'BAD_REQUEST' });
  t.same(await temporaries(folder), []);
  t.equal(await readFile(join(folder, 'x.iso'), 'utf8'), 'old', 'what it would have replaced is intact');
  await put(store, 'x.iso', 'new');
  t.equal(await readFile(join(folder, 'x.iso'), 'utf8'), 'new');
});

t.test('of two who want one name at the same moment exactly one gets it', async (t) => {
  const { store } = await setUp(t);
  const both = await Promise.allSettled([store.receive('x.iso', { length: 1 }), store.receive('x.iso', { length: 1 })]);
  t.same(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected']);
  t.match(
    both.find((one) => one.status === 'rejected'),
    { reason: { code: 'BUSY' } },
  );
});

t.test('giving up late does not take the name from whoever has it by now', async (t) => {
  const { store } = await setUp(t);
  const first = await store.receive('x.iso');
  await first.discard();
  const second = await store.receive('x.iso');
  await first.discard();
  await t.rejects(store.receive('x.iso'), { code: 'BUSY' });
  await second.discard();
  await t.resolves(store.receive('x.iso'));
});

t.test('files with different names do not disturb each other', async (t) => {
  const { store, folder } = await setUp(t);
  const slow = await begin(store, 'slow.iso');
  const broken = await begin(store, 'broken.iso');
  await put(store, 'quick.iso', 'quick');
  broken.stream.destroy();
  await t.rejects(broken.taken, { code: 'BAD_REQUEST' });
  slow.stream.push(null);
  await slow.taken;
  t.same(await names(store), ['quick.iso', 'slow.iso']);
  t.same(await temporaries(folder), []);
});

t.test('a folder of the name is never replaced, not even one that was made meanwhile', async (t) => {
  const { store, folder } = await setUp(t);
  await mkdir(join(folder, 'folder'));
  await t.rejects(store.receive('folder', { length: 1 }), { code: 'EXISTS' });
  const { stream, taken } = await begin(store, 'later');
  await mkdir(join(folder, 'later'));
  stream.push(null);
  await t.rejects(taken, Error);
  t.ok((await stat(join(folder, 'later'))).isDirectory());
  t.same(await temporaries(folder), []);
  await t.rejects(store.receive('later', { length: 1 }), { code: 'EXISTS' }, 'it is no longer busy');
});

t.test(
  'a file for which there is no room is refused before it is sent, counting what others were promised',
  async (t) => {
    const { store, folder } = await setUp(t);
    await t.rejects(store.receive('x.iso', { length: 2 ** 60 }), {
      code: 'NO_SPACE',
      message: /no room for \d+ bytes; \d+ bytes are free/,
    });
    const { bavail, bsize } = await statfs(folder);
    const most = Math.floor(bavail * bsize * 0.7);
    const first = await store.receive('x.iso', { length: most });
    await t.rejects(store.receive('y.iso', { length: most }), { code: 'NO_SPACE' });
    await first.discard();
    const second = await store.receive('y.iso', { length: most });
    await second.discard();
    await t.resolves(store.receive('x.iso'), 'an unknown length promises nothing');
  },
);

t.test('the folder for files in transit is made again when somebody has removed it', async (t) => {
  const { store, folder } = await setUp(t);
  await rm(join(folder, privateFolder), { recursive: true });
  await put(store, 'x.iso', 'content');
  t.equal(await readFile(join(folder, 'x.iso'), 'utf8'), 'content');
});

t.test('a link leads to a file elsewhere, and only such a file may be served from there', async (t) => {
  const { store, folder, outside } = await setUp(t);
  const far = join(outside, 'far.iso');
  await symlink(join(outside, 'other.iso'), join(folder, 'by-hand.iso'));
  await store.link('far.iso', far);
  t.equal(await realpath(join(folder, 'far.iso')), far);
  t.same(await store.find('far.iso'), {
    name: 'far.iso',
    bytes: 8,
    modified: (await stat(far, { bigint: true })).mtime,
    sha256: undefined,
  });
  for (const one of [store, await openStore(folder)]) {
    t.equal(one.leadsTo(far), true);
    t.equal(one.leadsTo(join(outside, 'other.iso')), false, 'a link that the service has not made');
    t.equal(one.leadsTo(outside), false);
  }
});

t.test('linking the same file twice is fine, and another file of the name is refused', async (t) => {
  const { store, folder, outside } = await setUp(t);
  const far = join(outside, 'far.iso');
  await store.link('far.iso', far);
  await store.link('far.iso', far);
  await t.rejects(store.link('far.iso', join(outside, 'other.iso')), { code: 'EXISTS' });
  t.equal(await realpath(join(folder, 'far.iso')), far);
});

t.test('a link never replaces what is stored: no file, no dangling link, no folder', async (t) => {
  const { store, folder, outside } = await setUp(t);
  await put(store, 'x.iso', 'content');
  await symlink('nowhere', join(folder, 'dangling.iso'));
  await mkdir(join(folder, 'folder'));
  for (const name of ['x.iso', 'dangling.iso', 'folder']) {
    await t.rejects(store.link(name, join(outside, 'far.iso')), { code: 'EXISTS' }, name);
  }
  t.equal(await readFile(join(folder, 'x.iso'), 'utf8'), 'content');
  t.equal(store.leadsTo(join(outside, 'far.iso')), false);
});

t.test('a file that is in the store already needs no link', async (t) => {
  const { store, folder } = await setUp(t);
  await put(store, 'x.iso', 'content');
  await store.link('x.iso', join(folder, 'x.iso'));
  t.ok((await lstat(join(folder, 'x.iso'))).isFile());
});

t.test('an upload may replace a link, which then leads nowhere any more', async (t) => {
  const { store, folder, outside } = await setUp(t);
  const far = join(outside, 'far.iso');
  await store.link('x.iso', far);
  await put(store, 'x.iso', 'content');
  t.equal(store.leadsTo(far), false);
  t.ok((await lstat(join(folder, 'x.iso'))).isFile());
  t.equal(await readFile(far, 'utf8'), 'far away', 'the file that it led to is as it was');
});

t.test('a link of the released service can be adopted, and what is no link cannot', async (t) => {
  const { store, folder, outside } = await setUp(t);
  const far = join(outside, 'far.iso');
  await symlink('../outside/far.iso', join(folder, 'far.iso'));
  await symlink('nowhere', join(folder, 'dangling.iso'));
  await put(store, 'x.iso', 'content');
  t.equal(store.leadsTo(far), false);
  for (const name of ['far.iso', 'dangling.iso', 'x.iso', 'missing.iso']) await store.adopt(name);
  for (const one of [store, await openStore(folder)]) {
    t.equal(one.leadsTo(far), true);
    t.equal(one.leadsTo(join(folder, 'x.iso')), false);
  }
});

t.test('a link that somebody has changed or removed is not trusted at the next start', async (t) => {
  const { store, folder, outside } = await setUp(t);
  const [far, other] = [join(outside, 'far.iso'), join(outside, 'other.iso')];
  for (const name of ['changed.iso', 'removed.iso', 'replaced.iso']) {
    await store.link(name, far);
    await rm(join(folder, name));
  }
  await symlink(other, join(folder, 'changed.iso'));
  await writeFile(join(folder, 'replaced.iso'), 'a file');
  const again = await openStore(folder);
  t.equal(again.leadsTo(far), false);
  t.equal(again.leadsTo(other), false);
});

t.test('a link survives a start during which its file is not there', async (t) => {
  const { store, folder, outside } = await setUp(t);
  const far = join(outside, 'far.iso');
  await store.link('x.iso', far);
  await rm(far);
  t.equal((await openStore(folder)).leadsTo(far), true);
});

t.test('a removed file is gone and its record is returned', async (t) => {
  const { store, folder } = await setUp(t);
  await put(store, 'x.iso', 'content');
  const before = await store.find('x.iso');
  t.same(await store.remove('x.iso'), before);
  t.same(await store.list(), []);
  t.notMatch(await readFile(join(folder, privateFolder, 'store.json'), 'utf8'), 'x.iso');
  await t.rejects(store.remove('x.iso'), { code: 'NOT_FOUND' });
});

t.test('removing a link leaves the file that it leads to, and a dangling link can be removed', async (t) => {
  const { store, folder, outside } = await setUp(t);
  const far = join(outside, 'far.iso');
  await store.link('far.iso', far);
  t.match(await store.remove('far.iso'), { name: 'far.iso', bytes: 8 });
  t.equal(await readFile(far, 'utf8'), 'far away');
  t.equal(store.leadsTo(far), false);
  await symlink('nowhere', join(folder, 'dangling.iso'));
  t.match(await store.remove('dangling.iso'), { name: 'dangling.iso', bytes: 0, sha256: undefined });
  t.same(await readdir(folder), [privateFolder]);
});

t.test('a folder is not removed', async (t) => {
  const { store, folder } = await setUp(t);
  await mkdir(join(folder, 'folder'));
  await t.rejects(store.remove('folder'), { code: 'NOT_FOUND' });
  t.ok((await stat(join(folder, 'folder'))).isDirectory());
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

t.test('a memory that cannot be read costs the digests, is said, and stops nothing', async (t) => {
  for (const text of ['', '{"digests":', 'null', '{}', '{"digests":null,"links":{}}']) {
    const { store, folder } = await setUp(t);
    await put(store, 'x.iso', 'content');
    await writeFile(join(folder, privateFolder, 'store.json'), text);
    const said: string[] = [];
    const again = await openStore(folder, said);
    t.match(await again.list(), [{ name: 'x.iso', sha256: undefined }], text);
    t.equal(
      said.some((line) => / warning .*store\.json is not readable/.test(line)),
      !isJson(text),
      text,
    );
    await put(again, 'y.iso', 'content');
    t.equal((await (await openStore(folder)).find('y.iso'))?.sha256, sha256('content'));
  }
});

t.test('when the memory cannot be written the file is stored all the same, and the log says it', async (t) => {
  const { folder } = await setUp(t);
  const said: string[] = [];
  const store = await openStore(folder, said);
  await mkdir(join(folder, privateFolder, 'store.json'));
  await put(store, 'x.iso', 'content');
  t.equal((await store.find('x.iso'))?.sha256, sha256('content'));
  t.match(said, [/ warning .*store\.json could not be written/]);
});

t.test('files that were copied in by hand get a digest by themselves, and keep it', async (t) => {
  const { folder, outside } = await setUp(t);
  for (const name of ['x.iso', 'y.iso', 'young.iso']) await writeFile(join(folder, name), name);
  for (const name of ['x.iso', 'y.iso']) await utimes(join(folder, name), 1000, 1000);
  await symlink(join(outside, 'far.iso'), join(folder, 'link.iso'));
  await utimes(join(outside, 'far.iso'), 1000, 1000);
  const said: string[] = [];
  const store = await openStore(folder, said);
  const digests = async (one: Store) => (await one.list()).map((file) => [file.name, file.sha256]);
  const count = () => said.filter((line) => line.includes('SHA-256')).length;
  await waitFor('digests', () => count() === 2);
  const known = [
    ['link.iso', undefined],
    ['x.iso', sha256('x.iso')],
    ['y.iso', sha256('y.iso')],
    ['young.iso', undefined],
  ];
  t.same(await digests(store), known);
  await store.stop();
  const again = await openStore(folder, said);
  t.same(await digests(again), known);
  await again.stop();
  t.equal(count(), 2, 'each was read once');
});

t.test("the name of the list of digests is nobody else's", async (t) => {
  const { store, outside } = await setUp(t);
  await t.rejects(store.receive('SHA256SUMS'), { code: 'BAD_REQUEST' });
  await t.rejects(store.link('SHA256SUMS', join(outside, 'far.iso')), { code: 'BAD_REQUEST' });
  t.same(await store.list(), []);
});

t.test(
  'how much of a file is there can be seen while it arrives, after it broke off and when it is whole',
  async (t) => {
    const { store, folder } = await setUp(t);
    t.equal(await store.arrived('x.iso'), undefined);
    const incoming = await store.receive('x.iso', { length: 10, source: 'upload' });
    const stream = new Readable({ read: () => undefined });
    const taken = incoming.take(
      () => ({ stream, complete: () => Promise.resolve() }),
      () => undefined,
    );
    stream.push('seven..');
    await waitFor('its bytes', async () => (await store.arrived('x.iso'))?.bytes === 7);
    t.equal((await store.space()).used, 7);
    stream.destroy();
    await t.rejects(taken, { code: 'BAD_REQUEST' });
    const again = await openStore(folder);
    for (const one of [store, again]) t.same(await one.arrived('x.iso'), { bytes: 7, length: 10, isComplete: false });
    t.match(await again.remove('x.iso'), { name: 'x.iso', bytes: 7, sha256: undefined }, 'it can be deleted');
    t.equal(await again.arrived('x.iso'), undefined);
    t.same(await temporaries(folder), []);
    await put(again, 'x.iso', 'content');
    t.same(await again.arrived('x.iso'), { bytes: 7, length: 7, isComplete: true });
    t.equal((await again.space()).used, 7);
  },
);

t.test('deleting a file deletes also what has arrived of another one of its name', async (t) => {
  const { store, folder } = await setUp(t);
  await put(store, 'x.iso', 'content');
  const before = await store.find('x.iso');
  const incoming = await store.receive('x.iso', { length: 10, source: 'upload' });
  const stream = new Readable({ read: () => undefined });
  stream.push('half');
  setImmediate(() => stream.destroy());
  await t.rejects(
    incoming.take(
      () => ({ stream, complete: () => Promise.resolve() }),
      () => undefined,
    ),
  );
  t.same(await store.find('x.iso'), before, 'until then both are there');
  t.same(await store.remove('x.iso'), before);
  t.same(await temporaries(folder), []);
  t.same(await store.list(), []);
});

/** Runs the writer and kills it a moment after it is ready; returns how many files it says that it has stored. */
async function killedWriter(folder: string, delay: number): Promise<number> {
  const child = spawn(process.execPath, [writer, folder, 'x.iso'], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (output === '') setTimeout(() => child.kill('SIGKILL'), delay);
    output += text;
  });
  await once(child, 'close');
  t.equal(child.signalCode, 'SIGKILL');
  return output.split('\n').length - 2;
}

t.test('after kill -9 at any moment the store has the old file or the new one, whole', async (t) => {
  const { folder } = await setUp(t);
  let received = 0;
  let unfinished = 0;
  for (let run = 0; run < 15; run++) {
    received += await killedWriter(folder, Math.random() * 60);
    unfinished += (await temporaries(folder)).length;
    if (received === 0) continue;
    const content = await readFile(join(folder, 'x.iso'));
    const number = content[0] ?? 0;
    t.equal(content.length, number * 1000);
    t.ok(content.equals(Buffer.alloc(content.length, number)));
    const store = await openStore(folder);
    t.same(await temporaries(folder), []);
    t.same(await names(store), ['x.iso']);
    const digest = createHash('sha256').update(content).digest('hex');
    const known = (await store.find('x.iso'))?.sha256;
    t.ok(known === undefined || known === digest, 'a digest that is remembered is the right one');
  }
  t.ok(received > 0, `${received} files were received`);
  t.ok(unfinished > 0, `${unfinished} of 15 were killed while they received`);
});
