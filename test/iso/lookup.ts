import t, { type Test } from 'tap';
import { followLink, lookup, type NameMatch, type Search } from '../../lib/iso/lookup.js';
import { Budget } from '../../lib/iso/budget.js';
import type { IsoFile, IsoFolder } from '../../lib/iso/entries.js';
import { field, folderRecord, IsoBuilder, linkFields, record, rootFields } from '../fixtures/iso-builder.js';
import { openImage } from '../fixtures/iso-volume.js';
import { countTurns } from '../fixtures/turns.js';

function file(name: string, length: number): Buffer {
  return record('X;1', { block: 30, length, systemUse: field.nm(name) });
}

function link(name: string, target: string): Buffer {
  return record('X;1', { systemUse: Buffer.concat([field.nm(name), linkFields(target)]) });
}

function folder(name: string, sector: number): Buffer {
  return folderRecord('X', sector, 2048, { systemUse: field.nm(name) });
}

/** Every file has its own length, so that a length tells which one was found. */
function buildImage(): Buffer {
  const chain = Array.from({ length: 42 }, (_, index) => link(`hop${index}`, index === 0 ? 'file' : `hop${index - 1}`));
  const records = [
    file('file', 1),
    file('README', 2),
    file('ReadMe', 3),
    file('Straße', 4),
    folder('dir', 40),
    folder('DIR2', 41),
    link('ubuntu', '.'),
    link('to file', 'file'),
    link('to dir', 'dir'),
    link('absolute', '/dir/inner'),
    link('out', '../../../etc/passwd'),
    link('up', '../../../file'),
    link('broken', 'nowhere'),
    link('a', 'b'),
    link('b', 'a'),
    link('self', 'self'),
    link('slash', 'dir/'),
    link('file slash', 'file/'),
    link('root', '/'),
    link('wrong case', 'FILE'),
    link('through', 'to dir/link up'),
    ...chain,
  ];
  const builder = new IsoBuilder();
  const rootLength = builder.folder(50, records, rootFields);
  builder.folder(40, [file('inner', 10), link('link up', '../file'), folder('deep', 42), link('escape', '../../x')]);
  builder.folder(41, [file('INNER.CFG', 20)]);
  builder.folder(42, [file('bottom', 30), link('top', '../../README'), link('ubuntu', '.')]);
  return builder.descriptor({ rootBlock: 50, rootLength }).terminator().build();
}

const image = buildImage();

async function found(path: string, match: NameMatch = 'exact'): Promise<number | 'folder' | undefined> {
  const volume = await openImage(image);
  const node = (await lookup(volume.root, path === '' ? [] : path.split('/'), match))?.entry;
  return node?.type === 'file' ? node.size : node?.type;
}

async function check(t: Test, cases: [path: string, expected: number | 'folder' | undefined][], match?: NameMatch) {
  for (const [path, expected] of cases) t.equal(await found(path, match), expected, `/${path}`);
}

t.test('a path leads to a file or to a folder', async (t) => {
  await check(t, [
    ['', 'folder'],
    ['file', 1],
    ['dir', 'folder'],
    ['dir/inner', 10],
    ['dir/deep/bottom', 30],
    ['nothing', undefined],
    ['nothing/file', undefined],
    ['file/inner', undefined],
    ['dir/inner/x', undefined],
  ]);
});

t.test('links are followed inside the image', async (t) => {
  await check(t, [
    ['to file', 1],
    ['to dir', 'folder'],
    ['to dir/inner', 10],
    ['to dir/deep/bottom', 30],
    ['dir/link up', 1],
    ['to dir/link up', 1],
    ['through', 1],
    ['dir/deep/top', 2],
    ['absolute', 10],
    ['slash', 'folder'],
    ['slash/inner', 10],
    ['root', 'folder'],
    ['root/dir/inner', 10],
    ['file slash', undefined],
    ['to file/x', undefined],
  ]);
});

t.test('no link leads out of the image', async (t) => {
  await check(t, [
    ['out', undefined],
    ['up', 1],
    ['dir/escape', undefined],
  ]);
});

t.test('a link to its own folder works at any depth', async (t) => {
  await check(t, [
    ['ubuntu', 'folder'],
    ['ubuntu/file', 1],
    ['ubuntu/ubuntu/dir/deep/ubuntu/ubuntu/bottom', 30],
    [`${'ubuntu/'.repeat(40)}file`, 1],
    [`${'ubuntu/'.repeat(41)}file`, undefined],
  ]);
});

t.test('links that go round, lead nowhere or are too many lead to nothing', async (t) => {
  await check(t, [
    ['a', undefined],
    ['b/x', undefined],
    ['self', undefined],
    ['broken', undefined],
    ['hop39', 1],
    ['hop40', undefined],
  ]);
});

t.test('exact means exact', async (t) => {
  await check(t, [
    ['FILE', undefined],
    ['DIR/inner', undefined],
    ['readme', undefined],
    ['ReadMe', 3],
    ['wrong case', undefined],
  ]);
});

t.test('with any case, an exact match comes first, then the first in code-unit order', async (t) => {
  const cases: [string, number | 'folder' | undefined][] = [
    ['FILE', 1],
    ['dIr/INNER', 10],
    ['dir2/inner.cfg', 20],
    ['README', 2],
    ['ReadMe', 3],
    ['readme', 2],
    ['STRAßE', 4],
    ['TO DIR/Link Up', 1],
    ['wrong case', 1],
    ['no such file', undefined],
  ];
  await check(t, cases, 'any-case');
});

t.test('a link of a folder is followed from there', async (t) => {
  const volume = await openImage(image);
  const dir = (await lookup(volume.root, ['dir'], 'exact'))?.entry;
  if (dir?.type !== 'folder') throw new Error('no folder');
  const search: Search<IsoFile> = { root: volume.root, match: 'exact', budget: new Budget() };
  const lengthOf = async (target: string) => {
    const node = (await followLink(search, dir, { type: 'link', target, modified: undefined }))?.entry;
    return node?.type === 'file' ? node.size : node?.type;
  };
  t.equal(await lengthOf('inner'), 10);
  t.equal(await lengthOf('../file'), 1);
  t.equal(await lengthOf('/file'), 1);
  t.equal(await lengthOf('.'), 'folder');
  t.equal(await lengthOf('gone'), undefined);
  t.equal(await lengthOf('../hop38'), 1, 'the fortieth link');
  t.equal(await lengthOf('../hop39'), undefined, 'the forty-first');
});

t.test('links cost work', async (t) => {
  const volume = await openImage(image);
  const search: Search<IsoFile> = { root: volume.root, match: 'exact', budget: new Budget(125) };
  const again = async () => {
    for (;;) await followLink(search, volume.root, { type: 'link', target: 'hop30', modified: undefined });
  };
  await t.rejects(again(), { code: 'BROKEN_ISO' });
});

t.test('dots in the target of a link cost work too', async (t) => {
  const volume = await openImage(image);
  for (const dots of ['./', '../', '//']) {
    const search: Search<IsoFile> = { root: volume.root, match: 'exact', budget: new Budget(1000) };
    let followed = 0;
    const again = async () => {
      for (; followed < 1000; followed++) {
        await followLink(search, volume.root, { type: 'link', target: dots.repeat(1000), modified: undefined });
      }
    };
    await t.rejects(again(), { code: 'BROKEN_ISO' }, dots);
    t.ok(followed < 10, `${followed} of them`);
  }
});

t.test('no percent sign in a target means anything but itself', async (t) => {
  const volume = await openImage(image);
  const search: Search<IsoFile> = { root: volume.root, match: 'exact', budget: new Budget() };
  for (const target of ['dir/%2e%2e/file', '%2Fdir', 'dir%2Finner', '%2e']) {
    t.equal(await followLink(search, volume.root, { type: 'link', target, modified: undefined }), undefined, target);
  }
});

t.test('the first look for a name in any case lets others run, however big the folder is', async (t) => {
  const names = Array.from({ length: 300_000 }, (_, index) => `File-${index}`);
  const file: IsoFile = { type: 'file', extents: [], size: 0, modified: undefined };
  const found = new Map(names.map((name) => [name, file]));
  const children = () => Promise.resolve(found);
  const root: IsoFolder = {
    type: 'folder',
    path: '',
    modified: undefined,
    parent: undefined,
    children,
    read: children,
  };
  const looking = Promise.all(['FILE-7', 'file-8'].map((name) => lookup(root, [name], 'any-case')));
  t.ok((await countTurns(looking)) > 1);
  t.same(
    (await looking).map((found) => found?.path),
    ['File-7', 'File-8'],
  );
});
