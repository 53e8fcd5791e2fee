import { mkdir, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { folderTree } from '../lib/folder.js';
import type { OpenFile } from '../lib/tree.js';
import { descriptorsBelow } from './fixtures/folder-setup.js';
import { bytesOf, openFile } from './fixtures/iso-tree.js';
import { temporaryFolder } from './fixtures/service.js';
import { waitFor } from './fixtures/wait.js';

/** A folder of files whose last change is so long ago that their stats tell it. */
async function setUp(t: Test, count: number): Promise<string> {
  const root = await temporaryFolder(t);
  for (let index = 0; index < count; index++) await writeFile(join(root, `f${index}`), `content ${index}`);
  await waitFor(
    'the files are older',
    async () => Date.now() - (await stat(join(root, `f${count - 1}`))).ctimeMs > 2100,
  );
  return root;
}

async function textOf(file: OpenFile): Promise<string> {
  return (await bytesOf(file)).toString();
}

t.test('whoever comes soon after another one shares the open file, which is closed a moment later', async (t) => {
  const root = await setUp(t, 1);
  const tree = folderTree(root);
  const first = await openFile(tree, 'f0');
  await first.close();
  const second = await openFile(tree, 'f0');
  t.equal(second.descriptor, first.descriptor);
  t.equal(await textOf(second), 'content 0');
  await second.close();
  await second.close();
  await waitFor('its end', async () => (await descriptorsBelow(root)) === 0);
});

t.test('however many files are in use, each has its own descriptor', async (t) => {
  const root = await setUp(t, 300);
  const tree = folderTree(root);
  const files: OpenFile[] = [];
  for (let index = 0; index < 300; index++) files.push(await openFile(tree, `f${index}`));
  t.equal(new Set(files.map(({ descriptor }) => descriptor)).size, 300);
  for (const [index, file] of files.entries()) t.equal(await textOf(file), `content ${index}`);
  await Promise.all(files.map((file) => file.close()));
  await waitFor('their ends', async () => (await descriptorsBelow(root)) === 0);
});

t.test('a file that was replaced, written over or deleted is not the one that was open', async (t) => {
  const root = await setUp(t, 3);
  const tree = folderTree(root);
  for (const name of ['f0', 'f1', 'f2']) await (await openFile(tree, name)).close();
  await writeFile(join(root, 'new'), 'replaced');
  await rename(join(root, 'new'), join(root, 'f0'));
  const before = await stat(join(root, 'f1'));
  await writeFile(join(root, 'f1'), 'CONTENT 1');
  await utimes(join(root, 'f1'), before.atime, before.mtime);
  await rm(join(root, 'f2'));
  const replaced = await openFile(tree, 'f0');
  const written = await openFile(tree, 'f1');
  t.same([await textOf(replaced), await textOf(written)], ['replaced', 'CONTENT 1']);
  t.equal(await tree.lookup(['f2'], 'exact'), undefined);
  await Promise.all([replaced.close(), written.close()]);
});

t.test('a file that may not be served any more is not, though it is open', async (t) => {
  const outside = await setUp(t, 1);
  const root = await temporaryFolder(t);
  await symlink(join(outside, 'f0'), join(root, 'link'));
  let isAllowed = true;
  const tree = folderTree(root, { allowedOutside: () => isAllowed });
  await (await openFile(tree, 'link')).close();
  isAllowed = false;
  t.equal(await tree.lookup(['link'], 'exact'), undefined);
});

t.test(
  'a file whose folder was moved out of the tree is not served for long, however often it is asked for',
  async (t) => {
    const root = await temporaryFolder(t);
    const elsewhere = await temporaryFolder(t);
    await mkdir(join(root, 'dir'));
    await writeFile(join(root, 'dir/file'), 'content');
    await waitFor('it is older', async () => Date.now() - (await stat(join(root, 'dir/file'))).ctimeMs > 2100);
    const tree = folderTree(root);
    await (await openFile(tree, 'dir/file')).close();
    await rename(join(root, 'dir'), join(elsewhere, 'dir'));
    await symlink(join(elsewhere, 'dir'), join(root, 'dir'));
    await waitFor('its end', async () => {
      const node = await tree.lookup(['dir', 'file'], 'exact');
      if (node?.type === 'file') await node.file.close();
      return node === undefined;
    });
  },
);
