import { mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import type { IsoFile } from '../../lib/iso/entries.js';
import type { Attached, Attacher } from '../../lib/mount/attacher.js';
import { KeptMount } from '../../lib/mount/kept-mount.js';
import { MountPoints } from '../../lib/mount/mount-points.js';
import { OpenIso } from '../../lib/mount/open-iso.js';
import type { Patience } from '../../lib/mount/patience.js';
import { VolumeTree } from '../../lib/mount/volume-tree.js';
import type { MountedFile } from '../../lib/mount/mounted-folder.js';
import { call, keepLog, mountFolder, mountsIn, mountStranger, needRoot, patience } from '../fixtures/child-mounts.js';
import { descriptorsBelow } from '../fixtures/folder-setup.js';
import { bytesOf, openFile } from '../fixtures/iso-tree.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

/** Fills the mount point with files in place of mounting anything: needs no right to mount. */
class PlainAttacher implements Attacher {
  count = 0;
  killed = 0;
  /** What the next mounts fail with. */
  failures: Error[] = [];
  names = ['hello.txt'];
  end: (why: string) => void = () => undefined;

  async attach(_path: string, point: string): Promise<Attached> {
    const failure = this.failures.shift();
    if (failure !== undefined) throw failure;
    this.count++;
    for (const name of this.names) await writeFile(join(point, name), 'hello');
    const ended = new Promise<string>((resolve) => (this.end = resolve));
    return { ended, kill: () => this.killed++ };
  }
}

/** Mounts an empty file system first. */
class MountingAttacher extends PlainAttacher {
  override async attach(path: string, point: string): Promise<Attached> {
    await call('mount', '-t', 'tmpfs', '-o', 'size=64k', 'ours', point);
    return super.attach(path, point);
  }
}

async function setup(
  t: Test,
  limits: Partial<Patience> = {},
  attacher = new PlainAttacher(),
  digest: () => string | undefined = () => undefined,
) {
  const folder = await mountFolder(t);
  const [mountDir, path] = [join(folder, 'mnt'), join(folder, 'a.iso')];
  await writeFile(path, smallIso({ 'hello.txt': 'hello' }));
  const iso = await OpenIso.open({ id: 'id', path, digest });
  t.teardown(() => iso.release());
  const { log, lines } = keepLog();
  const points = new MountPoints(mountDir);
  const kept = new KeptMount(iso, { id: 'id', path, attacher, points, log, patience: { ...patience, ...limits } });
  const tree = new VolumeTree<MountedFile>((work) => kept.use(work));
  return { folder, mountDir, path, attacher, kept, tree, lines };
}

const unavailable = { name: 'ServiceError', code: 'UNAVAILABLE' };

t.test('files are opened through the mount, with the tags of our reader', async (t) => {
  const { folder, path, kept, tree } = await setup(t);
  await kept.open();
  const direct = await OpenIso.open({ id: 'id', path });
  const directTree = new VolumeTree<IsoFile>((work) => direct.use(work));
  const [ours, theirs] = [await openFile(directTree, 'hello.txt'), await openFile(tree, 'hello.txt')];
  t.equal(theirs.tag, ours.tag);
  t.not(theirs.descriptor, ours.descriptor);
  t.equal((await bytesOf(theirs)).toString(), 'hello');
  await Promise.all([ours.close(), theirs.close(), direct.release()]);
  t.equal(await kept.close(), undefined);
  t.equal(await descriptorsBelow(join(folder, 'mnt')), 0);
});

t.test('a mount that cannot be made at first is an error, and its mount point is removed', async (t) => {
  const { mountDir, attacher, kept, tree } = await setup(t);
  attacher.failures = [new ServiceError('UNSUPPORTED_ISO', 'no')];
  await t.rejects(kept.open(), { code: 'UNSUPPORTED_ISO', message: 'no' });
  t.same(await readdir(mountDir), []);
  await t.rejects(tree.lookup([], 'exact'), unavailable);
});

t.test('a mount that shows something else is refused, and its process ended', async (t) => {
  const { attacher, kept } = await setup(t);
  attacher.names = ['readme.txt'];
  await t.rejects(kept.open(), {
    code: 'UNSUPPORTED_ISO',
    message: /lacks the file "hello.txt"; it shows the file "readme.txt"/,
  });
  t.equal(attacher.killed, 1);
});

t.test('a lost mount is made again after some failures, and said', async (t) => {
  const { attacher, kept, tree, lines } = await setup(t);
  await kept.open();
  attacher.failures = [new ServiceError('UNAVAILABLE', 'first'), new TypeError('second of /some/path')];
  attacher.end('it fell over');
  await waitFor('the new mount', () => attacher.count === 2);
  await waitFor('a file', async () => (await tree.lookup(['hello.txt'], 'exact').catch(() => undefined)) !== undefined);
  t.same(lines, [
    'warning  image id: its mount was lost (it fell over) and is made again',
    'warning  image id: it was not mounted again in try 1: first',
    'warning  image id: it was not mounted again in try 2: second of /some/path',
    'info     image id: mounted again',
  ]);
  await kept.close();
});

t.test('what keeps a mount away is told to who asks, without host paths', async (t) => {
  const { attacher, kept, tree, lines } = await setup(t, { tries: 1, pause: 1e6, longestPause: 1e6 });
  await kept.open();
  attacher.failures = [new TypeError('no room at /some/path')];
  attacher.end('it fell over');
  await waitFor('the end', () => lines.some((line) => line.startsWith('error')));
  const error: unknown = await tree.lookup([], 'exact').catch((error: unknown) => error);
  t.match(error, { ...unavailable, message: /not mounted now: an internal error$/ });
  t.equal(await kept.close(), undefined);
});

t.test('a mount that is lost again and again comes back each time', async (t) => {
  const { attacher, kept, tree, lines } = await setup(t, { tries: 2, longestPause: 2 });
  await kept.open();
  for (let count = 1; count <= 10; count++) {
    attacher.end('it fell over');
    await waitFor('the mount', () => lines.filter((line) => line.endsWith('mounted again')).length === count);
    t.match(await tree.lookup(['hello.txt'], 'exact'), { type: 'file' });
  }
  t.notOk(lines.some((line) => line.startsWith('error')));
  await kept.close();
});

t.test('what cannot be mounted again is said once, and tried until it can', async (t) => {
  const { attacher, kept, tree, lines } = await setup(t, { tries: 3, longestPause: 2 });
  await kept.open();
  attacher.failures = Array.from({ length: 20 }, () => new ServiceError('UNAVAILABLE', 'no'));
  attacher.end('it fell over');
  await waitFor('the mount', () => lines.some((line) => line.endsWith('mounted again')));
  const tries = lines.filter((line) => line.includes('in try') && !line.startsWith('debug'));
  t.match(tries, [/^warning/, /^warning/, /^error .*in try 3: no; it is tried on, every 0.002 seconds at the most$/]);
  t.equal(tries.length, 3, 'and then no line for each');
  t.match(await tree.lookup(['hello.txt'], 'exact'), { type: 'file' });
  await kept.close();
});

t.test(
  'a mount that was lost soon after it was made waits before the next one, and one that held does not',
  async (t) => {
    const isMadeAgain = async (steady: number) => {
      const { attacher, kept, lines } = await setup(t, { pause: 1e6, longestPause: 1e6, steady });
      await kept.open();
      attacher.end('it fell over');
      await waitFor('the second mount', () => lines.at(-1)?.endsWith('mounted again') === true);
      // A mount is older than no time at all from the next millisecond on.
      const now = Date.now();
      await waitFor('a moment', () => Date.now() > now + 1);
      attacher.end('it fell over again');
      await waitFor('the loss', () => lines.some((line) => line.includes('over again')));
      if (steady === 0) await waitFor('the third mount', () => attacher.count === 3);
      await kept.close();
      return attacher.count === 3;
    };
    t.equal(await isMadeAgain(1e9), false);
    t.equal(await isMadeAgain(0), true);
  },
);

t.test('an ISO that is changed in place is no reason to wait for its mount', async (t) => {
  const { path, attacher, kept, tree, lines } = await setup(t, { pause: 1e6, longestPause: 1e6 });
  await kept.open();
  for (const count of [2, 3, 4]) {
    await writeFile(path, smallIso({ 'hello.txt': `changed ${'!'.repeat(2048 * count)}` }));
    await t.rejects(tree.lookup([], 'exact'), { ...unavailable, message: /changed/ });
    await waitFor('the mount', () => attacher.count === count);
    await waitFor('the line', () => lines.at(-1)?.endsWith('mounted again') === true);
  }
  await kept.close();
});

t.test('a digest that becomes known is in the tags from then on, and no reason to mount again', async (t) => {
  const known: { digest?: string } = {};
  const { attacher, kept, tree, lines } = await setup(t, {}, new PlainAttacher(), () => known.digest);
  await kept.open();
  const tagNow = async () => {
    const file = await openFile(tree, 'hello.txt');
    await file.close();
    return file.tag;
  };
  const before = await tagNow();
  known.digest = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
  t.not(await tagNow(), before);
  t.same([attacher.count, lines], [1, []]);
  await kept.close();
});

t.test('an ISO that is renamed or deleted keeps its mount', async (t) => {
  const { path, attacher, kept, tree, lines } = await setup(t);
  await kept.open();
  for (const change of [() => rename(path, `${path}.away`), () => rm(`${path}.away`)]) {
    await change();
    const file = await openFile(tree, 'hello.txt');
    await file.close();
  }
  t.same([attacher.count, lines], [1, []]);
  await kept.close();
});

t.test('an ISO that has been replaced is not mounted in the place of the old one', async (t) => {
  const { path, attacher, kept, tree, lines } = await setup(t, { tries: 1 });
  await kept.open();
  await writeFile(`${path}.new`, smallIso({ 'hello.txt': 'other' }));
  await rename(`${path}.new`, path);
  attacher.end('it fell over');
  await waitFor('the end', () => lines.some((line) => line.startsWith('error')));
  t.equal(attacher.count, 1);
  await t.rejects(tree.lookup([], 'exact'), { ...unavailable, message: /deleted or replaced/ });
});

t.test('a mount that somebody has put upon ours is left alone, and ours made again elsewhere', async (t) => {
  if (!needRoot(t)) return;
  const { mountDir, attacher, kept, tree, lines } = await setup(t, {}, new MountingAttacher());
  await kept.open();
  const [ours] = await mountsIn(mountDir);
  if (ours === undefined) throw new Error('nothing is mounted');
  await mountStranger(ours.point);
  await t.rejects(tree.lookup(['hello.txt'], 'exact'), unavailable);
  await waitFor('the mount', () => attacher.count === 2 && lines.at(-1)?.endsWith('mounted again') === true);
  t.equal(await kept.close(), undefined);
  const left = (await mountsIn(mountDir)).map(({ point, source }) => [point, source]);
  t.same(left, [
    [ours.point, 'ours'],
    [ours.point, 'stranger'],
  ]);
  t.ok(lines.some((line) => /^warning .*could not be unmounted: another mount is upon it: stranger/.test(line)));
});

t.test('closing while a mount is made again waits for no pause, and leaves nothing', async (t) => {
  const { attacher, kept, mountDir, lines } = await setup(t, { pause: 1e6, longestPause: 1e6 });
  await kept.open();
  attacher.failures = [new ServiceError('UNAVAILABLE', 'first')];
  attacher.end('it fell over');
  await waitFor('the first try', () => lines.length === 2);
  t.equal(await kept.close(), undefined);
  attacher.end('again');
  t.equal(attacher.count, 1);
  // The files of the first mount are still there: what is mounted for real goes with its mount.
  for (const name of await readdir(mountDir)) await rm(join(mountDir, name), { recursive: true });
});

t.test('closing before it was opened, and twice, is nothing', async (t) => {
  const { kept, mountDir } = await setup(t);
  await mkdir(mountDir);
  t.equal(await kept.close(), undefined);
  t.equal(await kept.close(), undefined);
  t.same(await readdir(mountDir), []);
});

t.test('files that are looked up while the mount is closed are not found, or stay open', async (t) => {
  const { kept, tree, mountDir } = await setup(t);
  await kept.open();
  const first = await openFile(tree, 'hello.txt');
  const looking = Array.from({ length: 20 }, () => tree.lookup(['hello.txt'], 'exact'));
  const [results] = await Promise.all([Promise.allSettled(looking), kept.close()]);
  for (const result of results) {
    if (result.status === 'rejected') t.match(result.reason, { name: 'ServiceError', code: 'NOT_FOUND' });
    else if (result.value?.type !== 'file') t.fail('no file');
    else await result.value.file.close();
  }
  t.equal((await bytesOf(first)).toString(), 'hello');
  await first.close();
  t.equal(await descriptorsBelow(mountDir), 0);
  await t.rejects(tree.lookup(['hello.txt'], 'exact'), { code: 'NOT_FOUND' });
});
