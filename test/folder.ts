import { execFile } from 'node:child_process';
import { fstat, read, type BigIntStats } from 'node:fs';
import {
  appendFile,
  chmod,
  link,
  lstat,
  mkdir,
  realpath,
  rename,
  rm,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { folderTree, privateFolder, type FolderOptions } from '../lib/folder.js';
import type { Entry, Match, OpenFile, Tree } from '../lib/tree.js';
import { descriptorsBelow, makeFifo } from './fixtures/folder-setup.js';

/** Two folders: `root`, which is served, and `outside`, which is not. */
async function setUp(t: Test, options: FolderOptions = {}) {
  const base = await realpath(t.testdir({}));
  const root = join(base, 'root');
  const outside = join(base, 'outside');
  await mkdir(root);
  await mkdir(outside);
  await writeFile(join(outside, 'secret'), 'secret');
  return { base, root, outside, tree: folderTree(root, options) };
}

async function textOf(file: OpenFile): Promise<string> {
  const buffer = Buffer.alloc(file.size);
  const { bytesRead } = await promisify(read)(file.descriptor, buffer, 0, file.size, 0);
  return buffer.toString('utf8', 0, bytesRead);
}

/** What an operator would see there: the text of a file, `folder`, or `nothing`. */
async function seen(tree: Tree, path: string, match: Match = 'exact'): Promise<string> {
  const node = await tree.lookup(path === '' ? [] : path.split('/'), match);
  if (node === undefined) return 'nothing';
  if (node.type === 'folder') return 'folder';
  try {
    return await textOf(node.file);
  } finally {
    await node.file.close();
  }
}

async function listed(tree: Tree, path: string[] = []): Promise<Entry[]> {
  const node = await tree.lookup(path, 'exact');
  if (node?.type !== 'folder') throw new Error('no folder');
  return (await node.list()).sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function opened(tree: Tree, path: string[]): Promise<OpenFile> {
  const node = await tree.lookup(path, 'exact');
  if (node?.type !== 'file') throw new Error('no file');
  return node.file;
}

/** Root may read everything: permissions are only seen by somebody else. */
async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(65534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

t.test('a file is one extent with its size, date and tag', async (t) => {
  const { root, tree } = await setUp(t);
  await writeFile(join(root, 'vmlinuz'), 'kernel');
  await utimes(join(root, 'vmlinuz'), 1700000000, 1700000000);
  const file = await opened(tree, ['vmlinuz']);
  t.same(file.extents, [{ offset: 0, length: 6 }]);
  t.equal(file.size, 6);
  t.equal(file.modified?.toISOString(), '2023-11-14T22:13:20.000Z');
  t.match(file.tag, /^6(-[0-9a-z]+){3}$/);
  t.equal(await textOf(file), 'kernel');
  await file.close();
  await file.close();
  await t.rejects(promisify(fstat)(file.descriptor), { code: 'EBADF' }, 'closed twice is closed once');
});

t.test('an empty file has no extent', async (t) => {
  const { root, tree } = await setUp(t);
  await writeFile(join(root, 'empty'), '');
  const file = await opened(tree, ['empty']);
  t.same(file.extents, []);
  t.equal(file.size, 0);
  await file.close();
});

t.test('an open file stays what it was when another takes its name', async (t) => {
  const { root, tree } = await setUp(t);
  await writeFile(join(root, 'a'), 'old');
  const file = await opened(tree, ['a']);
  await writeFile(join(root, 'b'), 'newer');
  await rename(join(root, 'b'), join(root, 'a'));
  t.equal(await textOf(file), 'old');
  await file.close();
  t.equal(await seen(tree, 'a'), 'newer');
});

t.test('second 0 and 1 of 1970 are no date', async (t) => {
  const { root, tree } = await setUp(t);
  for (const [seconds, date] of [
    [0, undefined],
    [1, undefined],
    [2, '1970-01-01T00:00:02.000Z'],
  ] as const) {
    await writeFile(join(root, 'a'), 'a');
    await utimes(join(root, 'a'), seconds, seconds);
    const file = await opened(tree, ['a']);
    t.equal(file.modified?.toISOString(), date);
    await file.close();
  }
});

/** Another second than any file of the tests is written in. */
const longAgo = 1_700_000_000;

t.test('the tag is the known SHA-256', async (t) => {
  const asked: [string, BigIntStats][] = [];
  const digest = (path: string, stats: BigIntStats) => {
    asked.push([path, stats]);
    return 'sha256';
  };
  const { root, tree } = await setUp(t, { digest });
  await writeFile(join(root, 'a'), 'four');
  const file = await opened(tree, ['a']);
  await file.close();
  t.same([file.tag, file.sha256], ['sha256', 'sha256']);
  t.same(
    asked.map(([path, { size }]) => [path, size]),
    [[join(root, 'a'), 4n]],
  );
});

t.test(
  'without a known digest the tag changes with whatever may change the bytes, and with nothing else',
  async (t) => {
    const { root, tree } = await setUp(t);
    const path = join(root, 'a');
    const seenTags = new Set<string>();
    const isNew = async (why: string) => {
      const file = await opened(tree, ['a']);
      await file.close();
      t.notOk(seenTags.has(file.tag), why);
      seenTags.add(file.tag);
      const again = await opened(folderTree(root), ['a']);
      await again.close();
      t.equal(again.tag, file.tag, 'it stays, also for another tree');
    };
    /** The clock of the file system has ticked when a file has another time of change. */
    const tick = async () => {
      const probe = join(root, 'probe');
      await writeFile(probe, '');
      const { ctimeNs } = await lstat(probe, { bigint: true });
      do await chmod(probe, 0o600);
      while ((await lstat(probe, { bigint: true })).ctimeNs === ctimeNs);
    };
    await writeFile(path, 'one');
    await utimes(path, longAgo, longAgo);
    await isNew('the first');
    await utimes(path, longAgo, longAgo + 0.5);
    await isNew('within the same second');
    await appendFile(path, '+');
    await utimes(path, longAgo, longAgo);
    await isNew('another size');
    await tick();
    await writeFile(path, 'four', { flag: 'r+' });
    await utimes(path, longAgo, longAgo);
    await isNew('written over, with the size and the time of before');
    for (const content of ['five', 'nine']) {
      await writeFile(join(root, 'copy'), content);
      await utimes(join(root, 'copy'), longAgo, longAgo);
      await rename(join(root, 'copy'), path);
      await isNew('replaced by a file of the same size and time');
    }
  },
);

t.test('what is not there is nothing, whatever the reason', async (t) => {
  const { root, tree } = await setUp(t);
  await writeFile(join(root, 'file'), 'file');
  await symlink('nowhere', join(root, 'broken'));
  await symlink('loop', join(root, 'loop'));
  const absent = ['none', 'none/below', 'file/below', 'broken', 'loop', 'loop/below', 'x'.repeat(256)];
  for (const path of absent) {
    t.equal(await seen(tree, path), 'nothing', path.slice(0, 20));
    t.equal(await seen(tree, path, 'any-case'), 'nothing', `${path.slice(0, 20)} in any case`);
  }
});

t.test('a segment that is no file name is nothing', async (t) => {
  const { root, tree } = await setUp(t);
  await mkdir(join(root, 'a'));
  await writeFile(join(root, 'a', 'b'), 'b');
  for (const path of [['a/b'], ['a', '..', 'a', 'b'], ['.'], ['', 'a'], ['a\0'], ['..', 'outside', 'secret']]) {
    t.equal(await tree.lookup(path, 'any-case'), undefined, JSON.stringify(path));
  }
});

t.test('a root that is missing or a file is nothing, and is found once it is a folder', async (t) => {
  const { base } = await setUp(t);
  const tree = folderTree(join(base, 'later'));
  t.equal(await seen(tree, ''), 'nothing');
  await writeFile(join(base, 'later'), '');
  t.equal(await seen(tree, ''), 'nothing');
  await unlink(join(base, 'later'));
  await mkdir(join(base, 'later'));
  t.equal(await seen(tree, ''), 'folder');
});

t.test('a root may be a link, and may be /', async (t) => {
  const { base, root } = await setUp(t);
  await writeFile(join(root, 'a'), 'a');
  await symlink('root', join(base, 'link'));
  t.equal(await seen(folderTree(join(base, 'link')), 'a'), 'a');
  t.equal(await seen(folderTree(`${root}/`), 'a'), 'a');
  t.equal(await seen(folderTree('/'), join(root, 'a').slice(1)), 'a');
});

t.test('links are followed inside the root', async (t) => {
  const { root, tree } = await setUp(t);
  await mkdir(join(root, 'dists'));
  await writeFile(join(root, 'dists', 'Release'), 'release');
  await symlink('.', join(root, 'ubuntu'));
  await symlink(join(root, 'dists'), join(root, 'absolute'));
  t.equal(await seen(tree, 'ubuntu/ubuntu/dists/Release'), 'release');
  t.equal(await seen(tree, 'absolute/Release'), 'release');
});

t.test('links never lead out of the root', async (t) => {
  const { base, root, tree } = await setUp(t);
  await mkdir(join(base, 'root-beside'));
  await writeFile(join(base, 'root-beside', 'a'), 'beside');
  await symlink('../outside/secret', join(root, 'file'));
  await symlink('../outside', join(root, 'folder'));
  await symlink('../root-beside/a', join(root, 'same-prefix'));
  await symlink('..', join(root, 'up'));
  for (const path of ['file', 'folder', 'folder/secret', 'same-prefix', 'up', 'up/outside/secret', 'FOLDER/SECRET']) {
    t.equal(await seen(tree, path), 'nothing', path);
    t.equal(await seen(tree, path, 'any-case'), 'nothing', `${path} in any case`);
  }
  t.equal(await seen(tree, 'up/root'), 'folder', 'out and in again is inside');
  t.equal(await descriptorsBelow(base), 0);
});

t.test('a link that is swapped all the time never shows what is outside', async (t) => {
  const { root, tree } = await setUp(t);
  await writeFile(join(root, 'inside'), 'inside');
  let swaps = 0;
  const over = new AbortController();
  const swapping = (async () => {
    while (!over.signal.aborted) {
      await symlink(swaps++ % 2 ? 'inside' : '../outside/secret', join(root, 'next'));
      await rename(join(root, 'next'), join(root, 'link'));
    }
  })();
  const results = new Set<string>();
  const end = Date.now() + 1000;
  while (Date.now() < end) results.add(await seen(tree, 'link'));
  over.abort();
  await swapping;
  t.notOk(results.has('secret'));
  t.ok(results.has('inside'), `${swaps} swaps`);
});

t.test('a link may lead out to the files that are allowed, and to nothing else there', async (t) => {
  const allowed = new Set<string>();
  const { root, outside, tree } = await setUp(t, { allowedOutside: (path) => allowed.has(path) });
  await writeFile(join(outside, 'x.iso'), 'iso');
  await symlink(join(outside, 'x.iso'), join(root, 'x.iso'));
  await symlink(join(outside, 'secret'), join(root, 'secret'));
  await symlink(outside, join(root, 'folder'));
  allowed.add(join(outside, 'x.iso')).add(outside);
  t.equal(await seen(tree, 'x.iso'), 'iso');
  t.equal(await seen(tree, 'X.ISO', 'any-case'), 'iso');
  t.equal(await seen(tree, 'secret'), 'nothing');
  t.equal(await seen(tree, 'folder'), 'nothing', 'a folder outside is never allowed');
  t.same(
    (await listed(tree)).map(({ name, type, link }) => ({ name, type, link })),
    [
      { name: 'folder', type: 'link', link: undefined },
      { name: 'secret', type: 'link', link: undefined },
      { name: 'x.iso', type: 'file', link: undefined },
    ],
  );
});

t.test('the folder of files in transit is never found nor listed, however it is spelt', async (t) => {
  const { root, outside, tree } = await setUp(t, { allowedOutside: () => true });
  for (const name of [privateFolder, '.Image-SERVICE']) {
    await mkdir(join(root, 'iso', name), { recursive: true });
    await writeFile(join(root, 'iso', name, 'part'), 'half');
  }
  await symlink(join('iso', privateFolder), join(root, 'link'));
  await symlink(join('iso', '.Image-SERVICE', 'part'), join(root, 'part'));
  await mkdir(join(outside, privateFolder));
  await writeFile(join(outside, privateFolder, 'part'), 'half');
  await symlink(join(outside, privateFolder, 'part'), join(root, 'outside-part'));
  const hidden = ['iso/.image-service', 'iso/.IMAGE-SERVICE/part', 'iso/.Image-SERVICE/part'];
  for (const path of [...hidden, 'link', 'link/part', 'part', 'outside-part']) {
    t.equal(await seen(tree, path), 'nothing', path);
    t.equal(await seen(tree, path, 'any-case'), 'nothing', `${path} in any case`);
  }
  t.same(await listed(tree, ['iso']), []);
  t.same(
    (await listed(tree)).filter((entry) => entry.type !== 'folder').map(({ type, link }) => [type, link]),
    [
      ['link', undefined],
      ['link', undefined],
      ['link', undefined],
    ],
  );
});

t.test('a root below the folder of files in transit is served: mounted images live there', async (t) => {
  const { base } = await setUp(t);
  const root = join(base, privateFolder, 'mounts', 'id');
  await mkdir(root, { recursive: true });
  await writeFile(join(root, 'a'), 'a');
  t.equal(await seen(folderTree(root), 'a'), 'a');
});

t.test('hidden files and what is below hidden folders are never found nor listed', async (t) => {
  const hidden = new Set<string>();
  const { root, tree } = await setUp(t, { hidden: (path) => hidden.has(path) });
  await mkdir(join(root, 'state', 'deep'), { recursive: true });
  await writeFile(join(root, 'state', 'deep', 'a'), 'a');
  await writeFile(join(root, 'inventory.json'), '{}');
  await writeFile(join(root, 'shown'), 'shown');
  await symlink('inventory.json', join(root, 'link'));
  hidden.add(join(root, 'state')).add(join(root, 'inventory.json'));
  for (const path of ['inventory.json', 'INVENTORY.json', 'state', 'state/deep/a', 'State/deep/a', 'link']) {
    t.equal(await seen(tree, path, 'any-case'), 'nothing', path);
  }
  t.same(
    (await listed(tree)).map(({ name, type }) => [name, type]),
    [
      ['link', 'link'],
      ['shown', 'file'],
    ],
  );
});

t.test('FIFOs and devices are nothing at once, and reading a FIFO blocks nobody', async (t) => {
  const { base, root, tree } = await setUp(t, { allowedOutside: () => true });
  await makeFifo(join(root, 'fifo'));
  await symlink('/dev/null', join(root, 'device'));
  await writeFile(join(root, 'file'), 'file');
  const results = await Promise.all(Array.from({ length: 16 }, (_, i) => seen(tree, i % 2 ? 'fifo' : 'device')));
  t.same(new Set(results), new Set(['nothing']));
  t.equal(await seen(tree, 'file'), 'file');
  t.equal(await descriptorsBelow(base), 0);
});

t.test('names match exactly first, then without regard to case, segment by segment', async (t) => {
  const { root, tree } = await setUp(t);
  for (const folder of ['EFI', 'efi', 'Boot']) await mkdir(join(root, folder));
  for (const file of ['EFI/a', 'efi/b', 'Boot/X.Cfg', 'Boot/x.cfg', 'Boot/É.txt']) {
    await writeFile(join(root, file), file);
  }
  const cases: [path: string, exact: string, anyCase: string][] = [
    ['EFI/a', 'EFI/a', 'EFI/a'],
    ['EFI/A', 'nothing', 'EFI/a'],
    ['efi/b', 'efi/b', 'efi/b'],
    ['Efi/a', 'nothing', 'EFI/a'],
    ['Efi/b', 'nothing', 'nothing'],
    ['boot/x.cfg', 'nothing', 'Boot/x.cfg'],
    ['BOOT/X.CFG', 'nothing', 'Boot/X.Cfg'],
    ['boot/é.TXT', 'nothing', 'Boot/É.txt'],
    ['boot', 'nothing', 'folder'],
    ['boot/none', 'nothing', 'nothing'],
  ];
  for (const [path, exact, anyCase] of cases) {
    t.equal(await seen(tree, path, 'exact'), exact, `${path} exactly`);
    t.equal(await seen(tree, path, 'any-case'), anyCase, `${path} in any case`);
  }
});

t.test('a listing has sizes, dates and what links lead to, and survives whatever it meets', async (t) => {
  const { base, root, tree } = await setUp(t);
  await mkdir(join(root, 'folder'));
  await writeFile(join(root, 'file'), '12345');
  await symlink('file', join(root, 'to-file'));
  await symlink('./folder', join(root, 'to-folder'));
  await symlink('nowhere', join(root, 'broken'));
  await symlink('loop', join(root, 'loop'));
  await symlink('../outside/secret', join(root, 'out'));
  await makeFifo(join(root, 'fifo'));
  await symlink('fifo', join(root, 'to-fifo'));
  await writeFile(Buffer.from(`${root}/latin1-\xe9`, 'latin1'), '');
  await utimes(join(root, 'file'), 1700000000, 1700000000);
  const entries = await listed(tree);
  t.same(
    entries.map(({ name, type, size, link }) => [name, type, size, link]),
    [
      ['broken', 'link', 0, undefined],
      ['file', 'file', 5, undefined],
      ['folder', 'folder', 0, undefined],
      ['loop', 'link', 0, undefined],
      ['out', 'link', 0, undefined],
      ['to-fifo', 'link', 0, undefined],
      ['to-file', 'file', 5, 'file'],
      ['to-folder', 'folder', 0, './folder'],
    ],
  );
  for (const name of ['file', 'to-file']) {
    t.equal(entries.find((entry) => entry.name === name)?.modified?.getTime(), 1700000000000);
  }
  t.equal(await descriptorsBelow(base), 0);
});

t.test('entries that vanish while a big folder is listed do not break the listing', async (t) => {
  const { root, tree } = await setUp(t);
  const names = Array.from({ length: 400 }, (_, i) => `f${i}`);
  await Promise.all(names.map((name) => writeFile(join(root, name), name)));
  const [entries] = await Promise.all([
    listed(tree),
    ...names.filter((_, i) => i % 2).map((name) => unlink(join(root, name))),
  ]);
  const kept = new Set(entries.map((entry) => entry.name));
  t.same(
    names.filter((name, i) => i % 2 === 0 && !kept.has(name)),
    [],
  );
});

t.test('a folder that has gone, or has become a link out, is not listed', async (t) => {
  const { root, tree } = await setUp(t);
  await mkdir(join(root, 'a'));
  const node = await tree.lookup(['a'], 'exact');
  if (node?.type !== 'folder') throw new Error('no folder');
  await rm(join(root, 'a'), { recursive: true });
  await t.rejects(node.list(), { code: 'NOT_FOUND' });
  await symlink('../outside', join(root, 'a'));
  await t.rejects(node.list(), { code: 'NOT_FOUND' });
});

t.test('what the service may not read is forbidden, without its path in the message', async (t) => {
  const { base, root, tree } = await setUp(t);
  await writeFile(join(root, 'shut'), 'shut');
  await chmod(join(root, 'shut'), 0);
  await mkdir(join(root, 'closed'));
  await writeFile(join(root, 'closed', 'a'), 'a');
  await chmod(join(root, 'closed'), 0);
  await asNobody(async () => {
    for (const path of ['shut', 'closed/a']) {
      const error: unknown = await seen(tree, path).catch((error: unknown) => error);
      t.match(error, { name: 'ServiceError', code: 'FORBIDDEN' }, path);
      t.notMatch(error, { message: new RegExp(root) });
    }
    await t.rejects(listed(tree, ['closed']), { code: 'FORBIDDEN' });
    t.same(
      (await listed(tree)).map(({ name }) => name),
      ['closed', 'shut'],
    );
  });
  await chmod(join(root, 'closed'), 0o700);
  t.equal(await descriptorsBelow(base), 0);
});

t.test('when no descriptor is left the answer is unavailable, and passes', async (t) => {
  const { root } = await setUp(t);
  await writeFile(join(root, 'a'), 'a');
  const fixture = fileURLToPath(new URL('fixtures/folder-exhausted.js', import.meta.url));
  const command = ['--nofile=64:64', process.execPath, fixture, root];
  const { stdout } = await promisify(execFile)('prlimit', command, { timeout: 10000 });
  t.equal(stdout, 'UNAVAILABLE UNAVAILABLE fine');
});

t.test('a failing digest gives the descriptor back', async (t) => {
  const digest = () => {
    throw new Error('index is broken');
  };
  const { base, root, tree } = await setUp(t, { digest });
  await writeFile(join(root, 'a'), 'a');
  await t.rejects(seen(tree, 'a'), { code: 'INTERNAL' });
  t.equal(await descriptorsBelow(base), 0);
});

t.test('a file that is removed while it is being opened is judged by the name it had', async (t) => {
  const hidden = new Set<string>();
  const { root, tree } = await setUp(t, { hidden: (path) => hidden.has(path) });
  hidden.add(join(root, 'state'));
  const over = new AbortController();
  const replacing = (async () => {
    while (!over.signal.aborted) {
      await writeFile(join(root, 'next'), 'state');
      await rename(join(root, 'next'), join(root, 'state'));
    }
  })();
  const results = new Set<string>();
  const end = Date.now() + 500;
  while (Date.now() < end) results.add(await seen(tree, 'state'));
  over.abort();
  await replacing;
  t.same(results, new Set(['nothing']));
});

t.test('a hard link is a file like any other', async (t) => {
  const { root, tree } = await setUp(t);
  await writeFile(join(root, 'a'), 'a');
  await link(join(root, 'a'), join(root, 'b (deleted)'));
  t.equal((await lstat(join(root, 'a'))).nlink, 2);
  t.equal(await seen(tree, 'b (deleted)'), 'a');
});
