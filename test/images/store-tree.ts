import { createHash } from 'node:crypto';
import { mkdir, realpath, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { read } from 'node:fs';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { privateFolder } from '../../lib/folder.js';
import { Hashing } from '../../lib/images/hashing.js';
import { Store } from '../../lib/images/store.js';
import { storeTree } from '../../lib/images/store-tree.js';
import { createLog } from '../../lib/log.js';
import type { Tree } from '../../lib/tree.js';
import { run } from '../fixtures/process.js';
import { waitFor } from '../fixtures/wait.js';

const hashing = new Hashing();
t.teardown(() => hashing.stop());

/** A store with files that were copied into it by hand, long ago. */
async function setUp(t: Test, files: Readonly<Record<string, string>> = {}) {
  const base = await realpath(t.testdir({ store: {}, outside: { 'far.iso': 'far away' } }));
  const folder = join(base, 'store');
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, name), text);
    await utimes(join(folder, name), 1000, 1000);
  }
  const store = await Store.open(folder, { log: createLog(5, () => undefined), hashing, keptFor: () => 1000 });
  t.teardown(() => store.stop());
  const tree = storeTree(store, { allowedOutside: (real) => store.leadsTo(real) });
  return { store, folder, tree, outside: join(base, 'outside') };
}

/** All digests are there. */
async function digested(store: Store): Promise<void> {
  await waitFor('digests', async () => (await store.list()).every(({ sha256 }) => sha256 !== undefined));
}

/** Text and tag of a file; undefined when there is none. */
async function fileAt(tree: Tree, ...path: string[]) {
  const node = await tree.lookup(path, 'exact');
  if (node?.type !== 'file') return undefined;
  const { descriptor, extents, size, tag } = node.file;
  const { buffer } = await promisify(read)(descriptor, Buffer.alloc(size), 0, size, extents[0]?.offset ?? 0);
  await node.file.close();
  return { text: buffer.toString(), tag };
}

async function listOf(tree: Tree): Promise<string[]> {
  const node = await tree.lookup([], 'exact');
  return node?.type === 'folder' ? (await node.list()).map(({ name }) => name).sort() : [];
}

t.test('the files of a store are served, and beside them a list of their digests that sha256sum takes', async (t) => {
  const { store, folder, tree } = await setUp(t, { 'x.iso': 'content', 'a b.iso': 'other', 'line\nfeed': 'odd' });
  await digested(store);
  t.match(await fileAt(tree, 'x.iso'), { text: 'content' });
  t.same(await listOf(tree), ['SHA256SUMS', 'a b.iso', 'line\nfeed', 'x.iso']);
  const list = (await fileAt(tree, 'SHA256SUMS'))?.text ?? '';
  const checked = await run('sha256sum', ['--check', '--strict', '-'], { cwd: folder, input: list });
  t.equal(checked.code, 0, checked.stderr);
  t.equal(checked.stdout.match(/OK$/gm)?.length, 3);
});

t.test('the list is the same file until the digests change', async (t) => {
  const { store, folder, tree } = await setUp(t, { 'x.iso': 'content' });
  await digested(store);
  const first = await fileAt(tree, 'SHA256SUMS');
  t.equal(first?.text, `${createHash('sha256').update('content').digest('hex')}  x.iso\n`);
  t.same(await fileAt(tree, 'SHA256SUMS'), first);
  await rm(join(folder, 'x.iso'));
  const second = await fileAt(tree, 'SHA256SUMS');
  t.equal(second?.text, '');
  t.not(second?.tag, first?.tag);
});

t.test('a list that came with the files is neither served nor listed twice', async (t) => {
  const { store, tree } = await setUp(t, { 'x.iso': 'content', SHA256SUMS: 'from elsewhere' });
  await digested(store);
  t.same(await listOf(tree), ['SHA256SUMS', 'x.iso']);
  t.match((await fileAt(tree, 'SHA256SUMS'))?.text, /^[0-9a-f]{64} {2}x.iso\n$/);
});

t.test('nothing of the own files can be had but the list, and nothing below it', async (t) => {
  const { folder, tree } = await setUp(t, { 'x.iso': 'content' });
  await fileAt(tree, 'SHA256SUMS');
  await writeFile(join(folder, privateFolder, 'secret'), 'secret');
  for (const path of [[privateFolder], [privateFolder, 'secret'], [privateFolder, 'SHA256SUMS'], ['SHA256SUMS', 'x']]) {
    t.equal(await tree.lookup(path, 'any-case'), undefined, path.join('/'));
  }
});

t.test('folders and links in the store are as in any folder', async (t) => {
  const { store, folder, tree, outside } = await setUp(t);
  await mkdir(join(folder, 'folder'));
  await writeFile(join(folder, 'folder', 'SHA256SUMS'), 'of the folder');
  await store.link('far.iso', join(outside, 'far.iso'));
  await symlink('/etc/passwd', join(folder, 'strange'));
  t.match(await fileAt(tree, 'folder', 'SHA256SUMS'), { text: 'of the folder' });
  const below = await tree.lookup(['folder'], 'exact');
  t.match(below?.type === 'folder' && (await below.list()), [{ name: 'SHA256SUMS', size: 13 }]);
  t.match(await fileAt(tree, 'far.iso'), { text: 'far away' });
  t.equal(await fileAt(tree, 'strange'), undefined);
});

t.test('while the folder is gone nothing is found', async (t) => {
  const { folder, tree } = await setUp(t, { 'x.iso': 'content' });
  await rm(folder, { recursive: true });
  for (const path of [[], ['x.iso'], ['SHA256SUMS']]) t.equal(await tree.lookup(path, 'any-case'), undefined);
});
