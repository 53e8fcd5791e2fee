import { execFile } from 'node:child_process';
import { chmod, copyFile, open, readdir, readFile, rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { createFuseDriver, type FuseOptions, fuseisoArguments } from '../../lib/mount/fuse.js';
import { findMount } from '../../lib/mount/mountinfo.js';
import type { Mount, MountSource } from '../../lib/mount/mount.js';
import type { Patience } from '../../lib/mount/patience.js';
import {
  call,
  imageId,
  keepLog,
  mountFolder,
  mountsIn,
  mountStranger,
  needFuseiso,
  patience,
  writeProgram,
} from '../fixtures/child-mounts.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { bytesOf, factsOf, list, openFile } from '../fixtures/iso-tree.js';
import { genisoimage, needTools, sparseXorrisofs } from '../fixtures/iso-tools.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

const image = smallIso(
  { 'hello.txt': 'hello', big: Buffer.alloc(300_000, 'b') },
  { link: 'hello.txt', abs: '/etc/passwd', up: '../../../../../etc/passwd', root: '/' },
);

async function setup(t: Test, options: Partial<FuseOptions> = {}, limits: Partial<Patience> = {}, iso = image) {
  const folder = await mountFolder(t);
  const [mountDir, path] = [join(folder, 'mnt'), join(folder, 'a.iso')];
  await writeFile(path, iso);
  const { log, lines } = keepLog();
  const driver = createFuseDriver({ mountDir, log, patience: { ...patience, ...limits }, ...options });
  const mount = async (more: Partial<MountSource> = {}) => {
    const mounted = await driver.mount({ id: imageId, path, ...more });
    t.teardown(() => mounted.unmount());
    return mounted;
  };
  return { folder, mountDir, path, lines, driver, mount };
}

/** The processes that this one has started and that have not ended: never those of somebody else. */
async function children(): Promise<number[]> {
  const text = await readFile(`/proc/self/task/${process.pid}/children`, 'utf8');
  return text.split(' ').filter(Boolean).map(Number);
}

/** What was killed is gone as soon as it has been reaped. */
function noneLeft(): Promise<void> {
  return waitFor('the end of all processes', async () => (await children()).length === 0);
}

/** The one process, as soon as those of earlier tests have been reaped. */
async function theProcess(): Promise<number> {
  let found: number | undefined;
  await waitFor('a single process', async () => {
    const [pid, ...more] = await children();
    found = more.length === 0 ? pid : undefined;
    return found !== undefined;
  });
  if (found === undefined) throw new Error('no process');
  return found;
}

async function isStopped(pid: number): Promise<boolean> {
  const threads = await readdir(`/proc/${pid}/task`);
  const states = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, 'latin1')));
  return states.every((state) => state.includes(') T '));
}

/** Lets a process hang. It is ended after a while, for who waits for it could not be ended either. */
async function stop(t: Test, pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const timer = setTimeout(() => process.kill(pid, 'SIGKILL'), 15_000);
  t.teardown(() => clearTimeout(timer));
  // One thread stops the others: until then they go on answering.
  await waitFor('all threads to stop', () => isStopped(pid));
}

async function text(mount: Mount, path: string): Promise<string> {
  const file = await openFile(mount.tree, path);
  const bytes = await bytesOf(file);
  await file.close();
  return bytes.toString();
}

/** Reads a file when it can be read again. */
async function comesBack(mount: Mount, path: string): Promise<string> {
  let found = '';
  await waitFor('the mount to come back', async () => {
    found = await text(mount, path).catch(() => '');
    return found !== '';
  });
  return found;
}

t.test('the paths stand where fuseiso takes nothing for an option, and the mount is read-only', (t) => {
  const options = 'ro,nosuid,nodev,noexec';
  t.same(fuseisoArguments('/a b', '/-o', false), ['-n', '/a b', '/-o', '-f', '-o', options]);
  t.same(fuseisoArguments('/a b', '/-o', true), ['-n', '/a b', '/-o', '-f', '-o', `${options},allow_other`]);
  t.end();
});

t.test('what root mounts may be seen by others, for it may be shared on', async (t) => {
  if (!(await needFuseiso(t)) || !(await needTools(t, 'setpriv'))) return;
  const { mount, mountDir, folder } = await setup(t);
  await chmod(folder, 0o755);
  await mount();
  const other = ['--reuid', '65534', '--regid', '65534', '--clear-groups', '--'];
  t.equal(await call('setpriv', ...other, 'cat', join(mountDir, imageId, 'hello.txt')), 'hello');
});

t.test('fuseiso serves the ISO, on a mount point with the id of the image', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mountDir, mount, folder } = await setup(t);
  const mounted = await mount();
  t.match(mounted, { driver: 'fuse', view: 'rockridge', label: 'LABEL', bytes: image.length });
  t.match(await findMount(join(mountDir, imageId)), { type: 'fuse.fuseiso' });
  t.match(Object.keys(await factsOf(mounted.tree)).sort(), ['abs', 'big', 'hello.txt', 'link', 'root', 'up']);
  const file = await openFile(mounted.tree, 'LINK', 'any-case');
  t.equal(file.size, 5);
  t.match(file.tag, /^[0-9a-z-]{10,64}$/);
  t.ok(file.source.includes(file.tag), 'not by the stats of the mount: the next one can have the same');
  t.equal((await bytesOf(file)).toString(), 'hello');
  await file.close();
  await file.close();
  t.equal(await mounted.unmount(), undefined);
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
  await noneLeft();
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('a link in the ISO does not lead to the host', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, mountDir } = await setup(t);
  const { tree } = await mount();
  t.match(await readFile(join(mountDir, imageId, 'abs'), 'utf8'), /root/, 'for the kernel it does');
  for (const name of ['abs', 'up']) t.equal(await tree.lookup([name], 'exact'), undefined);
  t.match((await list(tree)).get('abs'), { type: 'link', link: '/etc/passwd' });
  t.ok((await list(tree, 'root')).has('hello.txt'), 'the root is that of the image');
});

t.test('the mount can be made again and again, and several times at once', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, mountDir } = await setup(t);
  for (let round = 0; round < 3; round++) {
    const mounts = await Promise.all([mount(), mount(), mount({ id: '../../evil' })]);
    t.match((await mountsIn(mountDir)).length, 3);
    for (const mounted of mounts) t.equal(await text(mounted, 'link'), 'hello');
    for (const mounted of mounts) t.equal(await mounted.unmount(), undefined);
  }
  t.same(await readdir(mountDir), []);
});

t.test('a mount of somebody else is not mounted upon', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, mountDir } = await setup(t);
  await mountStranger(join(mountDir, imageId));
  await mount();
  t.match(await findMount(join(mountDir, imageId)), { source: 'stranger' });
  t.match(await findMount(join(mountDir, `${imageId}.1`)), { type: 'fuse.fuseiso' });
});

t.test('what fuseiso cannot read is refused, and nothing is mounted', async (t) => {
  if (!(await needFuseiso(t)) || !(await needTools(t, 'genisoimage', 'xorriso'))) return;
  const { mount, mountDir, folder, path } = await setup(t);
  const source = join(folder, 'source');
  await call('mkdir', '-p', join(source, 'deep', 'down'));
  await writeFile(join(source, 'A.TXT'), 'a');
  const refused = async (code: string, message: RegExp, more: Partial<MountSource> = {}) => {
    await t.rejects(mount(more), { name: 'ServiceError', code, message });
  };
  await writeFile(path, Buffer.alloc(100_000));
  await refused('NOT_AN_ISO', /no ISO/);
  await genisoimage(path, source, '-R', '-J');
  await refused('UNSUPPORTED_ISO', /rockridge/, { view: 'joliet' });
  await refused('UNSUPPORTED_ISO', /rockridge/, { view: 'iso9660' });
  await truncate(path, 60_000);
  await refused('TRUNCATED', /./);
  await genisoimage(path, source, '-J');
  await refused('UNSUPPORTED_ISO', /joliet/, { view: 'iso9660' });
  t.same([await mountsIn(mountDir), await descriptorsBelow(folder)], [[], 0]);
});

t.test('a view that fuseiso would show anyway may be asked for', async (t) => {
  if (!(await needFuseiso(t)) || !(await needTools(t, 'genisoimage'))) return;
  const { mount, folder, path } = await setup(t);
  const source = join(folder, 'source');
  await call('mkdir', source);
  await writeFile(join(source, 'Grüße.txt'), 'text');
  for (const [view, ...options] of [
    ['rockridge', '-R', '-J'],
    ['joliet', '-J'],
  ] as const) {
    await genisoimage(path, source, '-input-charset', 'utf-8', ...options);
    const mounted = await mount({ view });
    t.equal(mounted.view, view);
    t.equal(await text(mounted, 'Grüße.txt'), 'text', 'names are in UTF-8');
    await mounted.unmount();
  }
});

t.test('a file in several sections is refused wherever it is', async (t) => {
  if (!(await needFuseiso(t)) || !(await needTools(t, 'xorriso'))) return;
  const { mount, folder, path } = await setup(t);
  const source = join(folder, 'source', 'deep', 'down');
  await call('mkdir', '-p', source);
  await writeFile(join(source, 'big'), '');
  await truncate(join(source, 'big'), 2 ** 32 + 5000);
  // The tree stands at the beginning, so the end may be a hole: no 4 GiB are written.
  await sparseXorrisofs(path, join(folder, 'source'), 2 ** 32 + 2_000_000, '-r', '-iso-level', '3');
  await t.rejects(mount(), { code: 'UNSUPPORTED_ISO', message: /several sections.*"big"/ });
});

t.test('a mount that shows something else is refused and taken away', async (t) => {
  if (!(await needFuseiso(t))) return;
  const folder = await mountFolder(t);
  const other = join(folder, 'other.iso');
  await writeFile(other, smallIso({ 'readme.txt': '' }));
  const fuseiso = await writeProgram(join(folder, 'fuseiso'), `exec fuseiso -n ${other} "$3" "\${@:4}"`);
  const { mount, mountDir } = await setup(t, { fuseiso });
  await t.rejects(mount(), {
    code: 'UNSUPPORTED_ISO',
    message: /lacks the file "hello.txt".*shows the file "readme.txt"/,
  });
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
  await noneLeft();
});

t.test('fuseiso that ends, says nothing or is missing is an error in its words', async (t) => {
  const folder = await mountFolder(t);
  const cases: [script: string | undefined, message: RegExp][] = [
    [
      'echo "fuse: failed to open $3: no" >&2; exit 1',
      /fuseiso did not mount the ISO: fuse: failed to open the mount point: no$/,
    ],
    ['exit 0', /exit status 0/],
    ['kill -SEGV $$', /SIGSEGV/],
    ['echo stuck >&2; sleep 1000', /no end in sight: killed: stuck/],
    [undefined, /not installed/],
  ];
  for (const [script, message] of cases) {
    const fuseiso = join(folder, 'fuseiso');
    if (script === undefined) await rm(fuseiso);
    else await writeProgram(fuseiso, script);
    const timeout = script?.includes('sleep') ? 1000 : patience.timeout;
    const { mount, mountDir, path } = await setup(t, { fuseiso, setpriv: '/none' }, { timeout });
    await t.rejects(mount(), { name: 'ServiceError', code: 'UNAVAILABLE', message });
    t.same(await readdir(mountDir), []);
    await noneLeft();
    t.equal(await descriptorsBelow(path), 0);
  }
});

t.test('a mount whose process dies is made again, under the same tags', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, mountDir, lines } = await setup(t);
  const mounted = await mount();
  const before = await openFile(mounted.tree, 'hello.txt');
  await before.close();
  process.kill(await theProcess(), 'SIGKILL');
  t.equal(await comesBack(mounted, 'link'), 'hello');
  const after = await openFile(mounted.tree, 'hello.txt');
  await after.close();
  t.equal(after.tag, before.tag);
  t.equal((await mountsIn(mountDir)).length, 1, 'the dead mount is gone');
  t.match(lines, [
    /warning.*image [0-9a-f-]{36}: its mount was lost \((fuseiso: ended by SIGKILL|no answer: E[A-Z]+)\)/,
    /info.*mounted again/,
  ]);
  t.equal(await mounted.unmount(), undefined);
});

t.test('while a mount is away, requests are told so; files that are open end with an error', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, path } = await setup(t, {}, { pause: 1e6, tries: 2 });
  const mounted = await mount();
  const file = await openFile(mounted.tree, 'big');
  await rename(path, `${path}.away`);
  process.kill(await theProcess(), 'SIGKILL');
  await waitFor('the loss', async () => {
    const error: unknown = await mounted.tree.lookup(['hello.txt'], 'exact').catch((error: unknown) => error);
    return error instanceof Error && 'code' in error && error.code === 'UNAVAILABLE';
  });
  await t.rejects(bytesOf(file));
  await file.close();
  // Its next try is far away: it is not waited for.
  t.equal(await mounted.unmount(), undefined);
  t.equal(await mounted.tree.lookup(['hello.txt'], 'exact'), undefined);
});

t.test('a mount that cannot be made again is said to be away, and comes back when it can be', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, path, lines } = await setup(t, {}, { tries: 3, longestPause: 20 });
  const mounted = await mount();
  await rename(path, `${path}.away`);
  process.kill(await theProcess(), 'SIGKILL');
  await waitFor('the words', () => lines.some((line) => line.includes('in try 3: The ISO was deleted or replaced')));
  await t.rejects(mounted.tree.lookup([], 'exact'), { code: 'UNAVAILABLE', message: /deleted or replaced/ });
  await rename(`${path}.away`, path);
  t.equal(await comesBack(mounted, 'hello.txt'), 'hello');
  t.equal(await mounted.unmount(), undefined);
});

t.test('a mount that dies again and again is made again each time', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, lines } = await setup(t, {}, { tries: 2, longestPause: 2 });
  const mounted = await mount();
  for (let count = 1; count <= 7; count++) {
    process.kill(await theProcess(), 'SIGKILL');
    await waitFor('the mount', () => lines.filter((line) => line.includes('mounted again')).length === count);
  }
  t.equal(await text(mounted, 'hello.txt'), 'hello');
});

t.test('a process that hangs is ended, and its mount made again', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, lines, mountDir } = await setup(t, {}, { answer: 300 });
  const mounted = await mount();
  await stop(t, await theProcess());
  // What is asked first waits in vain; what is asked then is not even passed on.
  await t.rejects(openFile(mounted.tree, 'big'), { code: 'UNAVAILABLE' });
  t.equal(await comesBack(mounted, 'hello.txt'), 'hello');
  t.equal((await mountsIn(mountDir)).length, 1);
  t.match(lines[0], /does not answer/);
});

t.test('processes that hang are ended when downloads from them hold all threads', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, lines } = await setup(t, {}, { answer: 500, watch: 50 });
  const mounted = await mount();
  const files = await Promise.all(Array.from({ length: 8 }, () => openFile(mounted.tree, 'big')));
  await stop(t, await theProcess());
  await Promise.all(files.map((file) => t.rejects(bytesOf(file))));
  await Promise.all(files.map((file) => file.close()));
  t.equal(await comesBack(mounted, 'hello.txt'), 'hello');
  t.match(lines[0], /no thread is left/);
});

t.test('a mount that somebody takes away is made again', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, mountDir } = await setup(t);
  const mounted = await mount();
  await call('umount', join(mountDir, imageId));
  t.equal(await comesBack(mounted, 'hello.txt'), 'hello');
});

t.test('an ISO that is copied over in place is mounted anew, under other tags', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, path } = await setup(t);
  const mounted = await mount();
  const before = await openFile(mounted.tree, 'hello.txt');
  await before.close();
  await writeFile(path, smallIso({ 'hello.txt': 'changed', new: 'new' }));
  t.equal(await comesBack(mounted, 'new'), 'new');
  const after = await openFile(mounted.tree, 'hello.txt');
  await after.close();
  t.equal(after.size, 'changed'.length);
  t.not(after.tag, before.tag);
});

t.test('an ISO that is copied over by one that fuseiso cannot read is not served, and it says why', async (t) => {
  if (!(await needFuseiso(t)) || !(await needTools(t, 'genisoimage'))) return;
  const { mount, folder, path } = await setup(t);
  const source = join(folder, 'source');
  await call('mkdir', source);
  await writeFile(join(source, 'A.TXT'), 'a');
  const copyOver = async (...options: string[]) => {
    await genisoimage(`${path}.new`, source, ...options);
    await writeFile(path, await readFile(`${path}.new`));
  };
  await copyOver('-J');
  const [automatic, chosen] = [await mount(), await mount({ view: 'joliet' })];
  await copyOver('-R', '-J');
  const says = async ({ tree }: Mount, words: RegExp) => {
    await waitFor('the words', async () => {
      const error: unknown = await tree.lookup([], 'exact').catch((error: unknown) => error);
      return error instanceof Error && words.test(error.message);
    });
  };
  await says(automatic, /in place of its joliet tree it has rockridge now/);
  await says(chosen, /fuseiso shows the rockridge tree of this disc/);
});

t.test('an ISO that was deleted goes on being served as it was', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, path } = await setup(t);
  const mounted = await mount();
  await rm(path);
  t.equal(await text(mounted, 'hello.txt'), 'hello');
  await copyFile('/dev/null', path);
  t.equal(await text(mounted, 'big'), 'b'.repeat(300_000));
});

t.test('an open file is waited for; then the mount goes out of sight, and the file is read to its end', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, mountDir } = await setup(t);
  const mounted = await mount();
  const file = await openFile(mounted.tree, 'big');
  const words = await mounted.unmount();
  t.equal(words, 'The mount goes when its last user lets go: umount: the mount point: target is busy. (1 open files)');
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
  t.equal((await bytesOf(file)).length, 300_000);
  await file.close();
  await noneLeft();
});

t.test('an open file that is closed in time leaves nothing behind', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, mountDir } = await setup(t, {}, { drain: 60_000 });
  const mounted = await mount();
  const file = await openFile(mounted.tree, 'big');
  const unmounting = mounted.unmount();
  t.equal(await mounted.tree.lookup(['big'], 'exact'), undefined, 'nothing new is opened');
  await file.close();
  t.equal(await unmounting, undefined);
  t.same(await readdir(mountDir), []);
});

t.test('a mount that somebody else uses goes out of sight', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount, mountDir } = await setup(t);
  const mounted = await mount();
  const file = await open(join(mountDir, imageId, 'big'));
  t.match(await mounted.unmount(), /last user.*0 open files/);
  t.same(await mountsIn(mountDir), []);
  await file.close().catch(() => undefined);
  await noneLeft();
});

t.test('fuseiso ends with the service, even when that is killed, and takes its mount away', async (t) => {
  if (!(await needFuseiso(t)) || !(await needTools(t, 'setpriv'))) return;
  const { mountDir, path } = await setup(t);
  const script = `
    const { createFuseDriver } = await import(${JSON.stringify(new URL('../../lib/mount/fuse.js', import.meta.url).href)});
    const silent = () => undefined;
    const log = { debug: silent, info: silent, warning: silent, error: silent, critical: silent };
    await createFuseDriver({ mountDir: ${JSON.stringify(mountDir)}, log }).mount({ id: 'id', path: ${JSON.stringify(path)} });
    process.kill(process.pid, 'SIGKILL');`;
  const run = promisify(execFile);
  const killed: unknown = await run(process.execPath, ['--input-type=module', '-e', script]).catch(
    (error: unknown) => error,
  );
  t.match(killed, { signal: 'SIGKILL' });
  await waitFor('the end of fuseiso', async () => (await mountsIn(mountDir)).length === 0);
});

t.test('who is not root takes mounts away with fusermount', async (t) => {
  if (!(await needFuseiso(t)) || !(await needTools(t, 'fusermount'))) return;
  const { mount, mountDir } = await setup(t, {}, { isRoot: false, umount: '/none' });
  const [clean, busy] = [await mount(), await mount()];
  t.equal(await clean.unmount(), undefined);
  const file = await openFile(busy.tree, 'big');
  t.match(await busy.unmount(), /last user lets go: .*busy/);
  t.equal((await bytesOf(file)).length, 300_000);
  await file.close();
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
});

t.test('without setpriv it works too', async (t) => {
  if (!(await needFuseiso(t))) return;
  const { mount } = await setup(t, { setpriv: '/none' });
  t.equal(await text(await mount(), 'hello.txt'), 'hello');
});

t.test('the driver says whether it can work here', async (t) => {
  const { driver } = await setup(t, { fuseiso: '/none' });
  t.equal(driver.name, 'fuse');
  t.equal(await driver.whyNot(), 'fuseiso is not installed');
});
