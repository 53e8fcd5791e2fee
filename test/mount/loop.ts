import { open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLoopDriver, type LoopOptions, mountArguments, showsView } from '../../lib/mount/loop.js';
import { findMount } from '../../lib/mount/mountinfo.js';
import type { Mount, MountSource } from '../../lib/mount/mount.js';
import type { Patience } from '../../lib/mount/patience.js';
import {
  call,
  imageId,
  keepLog,
  mountFolder,
  mountProgram,
  mountsIn,
  mountStranger,
  needKernel,
  needLoop,
  patience,
  writeProgram,
} from '../fixtures/child-mounts.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { bytesOf, factsOf, list, openFile } from '../fixtures/iso-tree.js';
import { genisoimage, needTools } from '../fixtures/iso-tools.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

/** A folder with mounts of its own, an .iso made of files and links, and the driver. */
async function setup(t: Test, options: Partial<LoopOptions> = {}, limits: Partial<Patience> = {}, name = 'a.iso') {
  const folder = await mountFolder(t);
  const [mountDir, path, source] = [join(folder, 'mnt'), join(folder, name), join(folder, 'source')];
  await call('mkdir', '-p', join(source, 'dir'));
  await writeFile(join(source, 'hello.txt'), 'hello');
  await writeFile(join(source, 'dir', 'big'), 'b'.repeat(300_000));
  await call('ln', '-s', 'hello.txt', join(source, 'link'));
  await call('ln', '-s', '/etc/passwd', join(source, 'abs'));
  await call('ln', '-s', '../../../../etc/passwd', join(source, 'dir', 'up'));
  await genisoimage(path, source, '-R');
  const { log, lines } = keepLog();
  const all = { mountDir, log, mount: mountProgram, patience: { ...patience, ...limits }, ...options };
  const driver = createLoopDriver(all);
  const mount = async (more: Partial<MountSource> = {}) => {
    const mounted = await driver.mount({ id: imageId, path, ...more });
    t.teardown(() => mounted.unmount());
    return mounted;
  };
  return { folder, mountDir, path, source, lines, driver, mount };
}

async function needAll(t: Test): Promise<boolean> {
  return (await needLoop(t)) && (await needTools(t, 'genisoimage'));
}

async function text(mount: Mount, path: string): Promise<string> {
  const file = await openFile(mount.tree, path);
  const bytes = await bytesOf(file);
  await file.close();
  return bytes.toString();
}

async function comesBack(mount: Mount, path: string): Promise<string> {
  let found = '';
  await waitFor('the mount to come back', async () => {
    found = await text(mount, path).catch(() => '');
    return found !== '';
  });
  return found;
}

/** The loop device of a mount. */
async function deviceOf(point: string): Promise<string> {
  const source = (await findMount(point))?.source ?? '';
  if (/^\/dev\/loop[0-9]+$/.test(source)) return source;
  throw new Error(`${source} is no loop device`);
}

/** Whether a file is behind a loop device, which the kernel frees a moment after the mount has gone. */
async function isBusy(device: string): Promise<boolean> {
  return (await readFile(device.replace('/dev', '/sys/block') + '/loop/backing_file', 'utf8').catch(() => '')) !== '';
}

t.test('mount(8) is told the types and options for each view, and the paths where it looks for no option', (t) => {
  const options = 'loop,ro,nosuid,nodev,noexec';
  const cases = [
    ['auto', 'udf,iso9660', options],
    ['udf', 'udf', options],
    ['rockridge', 'iso9660', options],
    ['joliet', 'iso9660', `${options},norock`],
    ['iso9660', 'iso9660', `${options},norock,nojoliet`],
  ] as const;
  for (const [view, types, options] of cases) {
    t.same(mountArguments('/a b', '/-o', view), ['-t', types, '-o', options, '--', '/a b', '/-o'], view);
  }
  t.end();
});

t.test('what the kernel shows is told by the options of the file system', (t) => {
  // As Linux 6.1 writes them.
  const rockRidge = 'ro,nojoliet,check=s,map=n,blocksize=2048,iocharset=utf8';
  const joliet = 'ro,norock,check=r,map=n,blocksize=2048,iocharset=utf8';
  const plain = 'ro,norock,check=s,map=n,blocksize=2048,iocharset=utf8';
  const cases = [
    ['rockridge', 'auto', rockRidge, true],
    ['rockridge', 'rockridge', rockRidge, true],
    ['rockridge', 'auto', joliet, false],
    ['rockridge', 'rockridge', plain, false],
    ['joliet', 'auto', joliet, true],
    ['joliet', 'joliet', rockRidge, false],
    ['joliet', 'joliet', plain, false],
    ['iso9660', 'iso9660', plain, true],
    ['iso9660', 'auto', plain, true],
    // On a disc that has nothing else.
    ['iso9660', 'auto', rockRidge, true],
    ['iso9660', 'iso9660', rockRidge, false],
    ['iso9660', 'iso9660', joliet, false],
    ['udf', 'auto', rockRidge, false],
  ] as const;
  for (const [view, choice, options, isShown] of cases) {
    const shown = { type: 'iso9660', options: options.split(',') };
    t.equal(showsView(view, choice, shown), isShown, `${view}, asked for as ${choice}, by ${options}`);
  }
  t.equal(showsView('udf', 'auto', { type: 'udf', options: ['ro', 'iocharset=utf8'] }), true);
  t.equal(showsView('rockridge', 'auto', { type: 'udf', options: ['ro', 'iocharset=utf8'] }), false);
  t.end();
});

t.test('the kernel serves the ISO, on a mount point with the id of the image', async (t) => {
  if (!(await needAll(t))) return;
  const { mountDir, mount, folder } = await setup(t);
  const mounted = await mount();
  t.match(mounted, { driver: 'loop', view: 'rockridge', label: 'CDROM' });
  const device = await deviceOf(join(mountDir, imageId));
  t.match(Object.keys(await factsOf(mounted.tree)).sort(), ['abs', 'dir', 'dir/big', 'dir/up', 'hello.txt', 'link']);
  t.equal(await text(mounted, 'dir/big'), 'b'.repeat(300_000));
  t.equal(await mounted.unmount(), undefined);
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
  await waitFor('the loop device to be freed', async () => !(await isBusy(device)));
  t.equal(await descriptorsBelow(folder), 0);
});

t.test('a link in the ISO does not lead to the host', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, mountDir } = await setup(t);
  const { tree } = await mount();
  t.match(await readFile(join(mountDir, imageId, 'abs'), 'utf8'), /root/, 'for the kernel it does');
  for (const path of [['abs'], ['dir', 'up']]) t.equal(await tree.lookup(path, 'exact'), undefined);
  t.match((await list(tree)).get('abs'), { type: 'link', link: '/etc/passwd' });
});

t.test('the kernel shows the view that is asked for, and of a disc with UDF by itself that', async (t) => {
  if (!needKernel(t) || !(await needAll(t))) return;
  const { mount, path, source } = await setup(t);
  await genisoimage(path, source, '-R', '-J', '-udf');
  const cases = [
    ['auto', 'udf', 'hello.txt'],
    ['udf', 'udf', 'hello.txt'],
    ['rockridge', 'rockridge', 'hello.txt'],
    ['joliet', 'joliet', 'hello.txt'],
    ['iso9660', 'iso9660', 'hello.txt'],
  ] as const;
  for (const [view, shown, name] of cases) {
    const mounted = await mount({ view });
    t.equal(mounted.view, shown);
    t.equal(await text(mounted, name), 'hello', view);
    t.equal((await list(mounted.tree)).get('link')?.link, view === 'rockridge' ? 'hello.txt' : undefined);
    t.equal(await mounted.unmount(), undefined);
  }
  await t.rejects(mount({ view: 'joliet', path: `${path}.none` }), { code: 'NOT_FOUND' });
});

t.test('an ISO that is mounted with another view is refused, and served as soon as it is not', async (t) => {
  if (!needKernel(t) || !(await needAll(t))) return;
  const { mount, mountDir, path, source } = await setup(t);
  await genisoimage(path, source, '-R', '-J');
  const views = ['rockridge', 'joliet', 'iso9660'] as const;
  for (const first of views) {
    const mounted = await mount({ view: first });
    const device = await deviceOf(join(mountDir, imageId));
    for (const second of views.filter((view) => view !== first)) {
      await t.rejects(mount({ view: second }), { code: 'UNAVAILABLE', message: /another image may show/ });
    }
    t.equal((await mountsIn(mountDir)).length, 1);
    const same = await mount({ view: first });
    await mounted.unmount();
    t.ok((await list(same.tree)).has(first === 'iso9660' ? 'hello.txt' : 'link') || first === 'joliet');
    await same.unmount();
    await waitFor('the loop device to be freed', async () => !(await isBusy(device)));
  }
});

t.test('a kernel that shows another tree than that of UDF is noticed', async (t) => {
  if (!(await needAll(t))) return;
  const folder = await mountFolder(t);
  const program = await writeProgram(join(folder, 'mount'), `exec ${mountProgram} -t iso9660 "\${@:3}"`);
  const { mount, mountDir, path, source } = await setup(t, { mount: program });
  await genisoimage(path, source, '-R', '-udf');
  await t.rejects(mount(), { code: 'UNAVAILABLE', message: /as (iso9660|squashfs), not its udf tree/ });
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
});

t.test('any name of an .iso is a name, and no option, for mount(8)', async (t) => {
  if (!(await needAll(t))) return;
  for (const name of ['-orw.iso', 'LABEL=x', 'a b\\040c#.iso', 'ü$(id);.iso']) {
    const { mount, mountDir } = await setup(t, {}, {}, name);
    const mounted = await mount();
    t.equal(await text(mounted, 'hello.txt'), 'hello', name);
    await mounted.unmount();
    t.same(await mountsIn(mountDir), []);
  }
});

t.test('the same ISO can be mounted several times', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, mountDir } = await setup(t);
  const one = await mount();
  const two = await mount();
  t.equal((await mountsIn(mountDir)).length, 2);
  await one.unmount();
  t.equal(await text(two, 'hello.txt'), 'hello');
  t.equal(await two.unmount(), undefined);
});

t.test('a mount of somebody else is not mounted upon', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, mountDir } = await setup(t);
  await mountStranger(join(mountDir, imageId));
  await mount();
  t.match(await findMount(join(mountDir, imageId)), { source: 'stranger' });
  await deviceOf(join(mountDir, `${imageId}.1`));
});

t.test('what our reader refuses the kernel does not even see', async (t) => {
  const folder = await mountFolder(t);
  const mountCalls = join(folder, 'calls');
  const program = await writeProgram(join(folder, 'mount'), `touch ${mountCalls}`);
  const driver = createLoopDriver({ mountDir: join(folder, 'mnt'), log: keepLog().log, mount: program });
  const path = join(folder, 'a.iso');
  await t.rejects(driver.mount({ id: 'id', path }), { code: 'NOT_FOUND' });
  await writeFile(path, Buffer.alloc(100_000));
  await t.rejects(driver.mount({ id: 'id', path }), { code: 'NOT_AN_ISO' });
  await t.rejects(readFile(mountCalls), { code: 'ENOENT' });
});

t.test('mount(8) that fails, hangs or is missing is an error in its words, without host paths', async (t) => {
  const folder = await mountFolder(t);
  const path = join(folder, 'a.iso');
  await writeFile(path, smallIso({ a: 'a' }));
  const cases: [script: string | undefined, code: string, message: RegExp][] = [
    [
      'echo "mount: ${!#}: permission denied." >&2; exit 32',
      'UNAVAILABLE',
      /^[^/]*mount: the mount point: permission denied.$/,
    ],
    [
      'echo "mount: $PWD: wrong fs type, bad superblock on /dev/loop0" >&2; exit 32',
      'UNSUPPORTED_ISO',
      /wrong fs type/,
    ],
    ['echo "unknown filesystem type \'udf\'." >&2; exit 32', 'UNAVAILABLE', /unknown filesystem type 'udf'/],
    ['echo "failed to setup loop device for ${@: -2:1}." >&2; exit 32', 'UNAVAILABLE', /loop device for the ISO/],
    ['exit 0', 'UNAVAILABLE', /ended well, and mounted nothing/],
    ['sleep 1000', 'UNAVAILABLE', /no end in sight/],
    [undefined, 'UNAVAILABLE', /not installed/],
  ];
  for (const [script, code, message] of cases) {
    const mount = join(folder, 'mount');
    if (script === undefined) await rm(mount);
    else await writeProgram(mount, script);
    const mountDir = join(folder, 'mnt');
    const timeout = script?.startsWith('sleep') ? 500 : patience.timeout;
    const driver = createLoopDriver({ mountDir, log: keepLog().log, mount, patience: { ...patience, timeout } });
    const error: unknown = await driver.mount({ id: 'id', path }).catch((error: unknown) => error);
    t.match(error, { name: 'ServiceError', code, message });
    t.ok(error instanceof Error && !error.message.includes(folder));
    t.same(await readdir(mountDir), []);
    t.equal(await descriptorsBelow(folder), 0);
  }
});

t.test('a mount that shows something else is refused and taken away', async (t) => {
  if (!(await needAll(t))) return;
  const folder = await mountFolder(t);
  const other = await setup(t);
  await writeFile(join(other.source, 'readme.txt'), '');
  await genisoimage(other.path, other.source, '-R');
  const program = await writeProgram(join(folder, 'mount'), `exec ${mountProgram} "\${@:1:5}" ${other.path} "\${!#}"`);
  const { mount, mountDir } = await setup(t, { mount: program });
  await t.rejects(mount(), { code: 'UNSUPPORTED_ISO', message: /it shows the file "readme.txt"/ });
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
});

t.test('an ISO that is replaced while it is being mounted is not taken for the other one', async (t) => {
  if (!(await needAll(t))) return;
  const folder = await mountFolder(t);
  const replace = 'iso=${@: -2:1}; cp "$iso" "$iso.new"; mv "$iso.new" "$iso"';
  const program = await writeProgram(join(folder, 'mount'), `${replace}; exec ${mountProgram} "$@"`);
  const { mount, mountDir } = await setup(t, { mount: program });
  await t.rejects(mount(), { code: 'UNAVAILABLE', message: /replaced/ });
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
});

t.test('an open file keeps the mount out of sight, its loop device and its ISO alive until it is closed', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, mountDir, path } = await setup(t);
  const mounted = await mount();
  const device = await deviceOf(join(mountDir, imageId));
  const file = await openFile(mounted.tree, 'dir/big');
  t.equal(
    await mounted.unmount(),
    'The mount goes when its last user lets go: umount: the mount point: target is busy. (1 open files)',
  );
  t.same([await mountsIn(mountDir), await readdir(mountDir)], [[], []]);
  t.equal(await mounted.tree.lookup([], 'exact'), undefined);
  await rm(path);
  t.equal(await isBusy(device), true);
  t.equal((await bytesOf(file)).length, 300_000);
  await file.close();
  await waitFor('the loop device to be freed', async () => !(await isBusy(device)));
});

t.test('an open file that is closed in time leaves nothing behind', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, mountDir } = await setup(t, {}, { drain: 60_000 });
  const mounted = await mount();
  const file = await openFile(mounted.tree, 'dir/big');
  const unmounting = mounted.unmount();
  t.equal(await mounted.tree.lookup(['dir'], 'exact'), undefined, 'nothing new is opened');
  await file.close();
  t.equal(await unmounting, undefined);
  t.same(await readdir(mountDir), []);
});

t.test('a mount that somebody else uses goes out of sight', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, mountDir } = await setup(t);
  const mounted = await mount();
  const file = await open(join(mountDir, imageId, 'dir', 'big'));
  t.match(await mounted.unmount(), /last user.*0 open files/);
  t.same(await mountsIn(mountDir), []);
  await file.close();
});

t.test('an unmount that fails is told, and the mount point is not used again', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, mountDir } = await setup(t, {}, { umount: '/bin/false' });
  const mounted = await mount();
  t.match(await mounted.unmount(), /could not be unmounted/);
  await mount();
  t.same((await readdir(mountDir)).sort(), [imageId, `${imageId}.1`]);
});

t.test('an ISO that was deleted or replaced goes on being served as it was', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, path, folder } = await setup(t);
  const mounted = await mount();
  await writeFile(join(folder, 'new'), 'no ISO');
  await rename(join(folder, 'new'), path);
  t.equal(await text(mounted, 'dir/big'), 'b'.repeat(300_000));
});

t.test('a mount that somebody takes away is made again, under the same tags', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, mountDir, lines } = await setup(t);
  const mounted = await mount();
  const before = await openFile(mounted.tree, 'hello.txt');
  await before.close();
  await call('umount', join(mountDir, imageId));
  t.equal(await comesBack(mounted, 'dir/big'), 'b'.repeat(300_000));
  const after = await openFile(mounted.tree, 'hello.txt');
  await after.close();
  t.equal(after.tag, before.tag);
  t.match(lines, [/its mount was lost/, /mounted again/]);
});

t.test('an ISO that is copied over in place is mounted anew, when its old files are closed', async (t) => {
  if (!(await needAll(t))) return;
  const { mount, path, source } = await setup(t, {}, { tries: 1000, drain: 1 });
  const mounted = await mount();
  const file = await openFile(mounted.tree, 'hello.txt');
  await writeFile(join(source, 'hello.txt'), 'changed');
  await writeFile(join(source, 'new'), 'new');
  await genisoimage(join(source, '..', 'new.iso'), source, '-R');
  await writeFile(path, await readFile(join(source, '..', 'new.iso')));
  await t.rejects(mounted.tree.lookup(['new'], 'exact'), { code: 'UNAVAILABLE' });
  await file.close();
  t.equal(await comesBack(mounted, 'new'), 'new');
  t.equal(await text(mounted, 'hello.txt'), 'changed');
});

t.test('the driver says whether it can work here', async (t) => {
  const driver = createLoopDriver({ mountDir: t.testdir({}), log: keepLog().log, mount: '/none' });
  t.equal(driver.name, 'loop');
  t.equal(await driver.whyNot(), 'mount is not installed');
});
