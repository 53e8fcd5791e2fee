import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLog } from '../../lib/log.js';
import { directDriver } from '../../lib/mount/direct.js';
import type { SharedIso } from '../../lib/mount/mount.js';
import { ImageReplica } from '../../lib/workers/replica.js';
import { MemoryTree } from '../fixtures/memory-tree.js';
import { smallIso } from '../fixtures/small-iso.js';
import { openFile } from '../fixtures/iso-tree.js';

const log = createLog(5, () => undefined);

async function shared(t: Test, content: string): Promise<SharedIso> {
  const path = join(t.testdir({}), `${content}.iso`);
  await writeFile(path, smallIso({ readme: content }));
  const mount = await directDriver.mount({ id: 'x', path });
  t.teardown(() => mount.unmount());
  if (mount.shared === undefined) throw new Error('it is not shared');
  return mount.shared;
}

t.test('an image is found by its name and version, in any case too, once it is told of', async (t) => {
  const replica = new ImageReplica(log, new MemoryTree({}), () => undefined);
  t.teardown(() => replica.stop());
  t.equal(replica.at('ESXi', '8', 'exact'), undefined);
  await replica.set('1', { id: '1', name: 'ESXi', version: '8', iso: undefined });
  t.equal(replica.at('ESXi', '8', 'exact')?.pending, true);
  t.equal(replica.at('esxi', '8', 'exact'), undefined);
  t.equal(replica.at('esxi', '8', 'any-case')?.pending, true);
  t.same(replica.served(), []);
  await replica.set('1', { id: '1', name: 'ESXi', version: '8', iso: await shared(t, 'a') });
  t.equal(replica.at('esxi', '8', 'any-case')?.pending, false);
  t.match(replica.served(), [{ name: 'ESXi', version: '8' }]);
});

t.test('of two images that differ by case, each is found by its own name, and the first by any other', async (t) => {
  const replica = new ImageReplica(log, new MemoryTree({}), () => undefined);
  for (const name of ['Debian', 'debian']) await replica.set(name, { id: name, name, version: '1', iso: undefined });
  const idAt = (name: string, match: 'exact' | 'any-case') => replica.at(name, '1', match)?.record.id;
  t.same(
    [idAt('Debian', 'exact'), idAt('debian', 'exact'), idAt('DEBIAN', 'any-case')],
    ['Debian', 'debian', 'Debian'],
  );
  await replica.set('Debian', undefined);
  t.same([idAt('Debian', 'exact'), idAt('Debian', 'any-case')], [undefined, 'debian']);
});

t.test('whoever waits for an image goes on when it comes, and when it is taken away', async (t) => {
  const replica = new ImageReplica(log, new MemoryTree({}), () => undefined);
  t.teardown(() => replica.stop());
  const fact = { id: '1', name: 'a', version: '1' };
  await replica.set('1', { ...fact, iso: undefined });
  const first = replica.at('a', '1', 'exact');
  const waiting = first?.settled(60_000, new AbortController().signal);
  await replica.set('1', { ...fact, iso: await shared(t, 'a') });
  await waiting;
  t.ok(first?.tree);
  await replica.set('2', { id: '2', name: 'b', version: '1', iso: undefined });
  const second = replica.at('b', '1', 'exact');
  const other = second?.settled(60_000, new AbortController().signal);
  await replica.set('2', undefined);
  await other;
  t.equal(second?.gone.aborted, true);
});

t.test('a new ISO takes the place of the old one, whose open files are read to their end', async (t) => {
  const replica = new ImageReplica(log, new MemoryTree({}), () => undefined);
  t.teardown(() => replica.stop());
  const fact = { id: '1', name: 'a', version: '1' };
  await replica.set('1', { ...fact, iso: await shared(t, 'old') });
  const tree = replica.at('a', '1', 'exact')?.tree;
  if (tree === undefined) throw new Error('no tree');
  const old = await openFile(tree, 'readme');
  await replica.set('1', { ...fact, iso: await shared(t, 'newer') });
  const now = replica.at('a', '1', 'exact')?.tree;
  if (now === undefined) throw new Error('no tree');
  const file = await openFile(now, 'readme');
  t.same([old.size, file.size], [3, 5]);
  await Promise.all([old.close(), file.close()]);
});

t.test('another file in the place of an ISO is not served in its stead', async (t) => {
  const replica = new ImageReplica(log, new MemoryTree({}), () => undefined);
  t.teardown(() => replica.stop());
  const iso = await shared(t, 'a');
  const wrong = { ...iso, inode: iso.inode + 1n };
  const fact = { id: '1', name: 'a', version: '1', iso: wrong };
  await t.rejects(replica.set('1', fact), { code: 'UNAVAILABLE', message: 'The ISO was deleted or replaced' });
  t.equal(replica.at('a', '1', 'exact')?.pending, true, 'requests are told to come again');
});
