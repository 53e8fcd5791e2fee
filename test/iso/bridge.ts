import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { Budget } from '../../lib/iso/budget.js';
import { openBridge } from '../../lib/iso/bridge.js';
import type { Children, IsoEntry, IsoFolder } from '../../lib/iso/entries.js';
import { countTurns } from '../fixtures/turns.js';

type Entries = Readonly<Record<string, IsoEntry>>;

function root(entries: Entries): IsoFolder {
  const children: Children = new Map(Object.entries(entries));
  return {
    type: 'folder',
    path: '',
    modified: undefined,
    parent: undefined,
    children: () => Promise.resolve(children),
    read: () => Promise.resolve(children),
  };
}

/** A folder that cannot be read. */
function broken(): IsoFolder {
  const children = () => Promise.reject(new ServiceError('BROKEN_ISO', 'It is broken'));
  return { ...root({}), children, read: children };
}

async function bridged(rockRidge: Entries, udf: Entries): Promise<Children | undefined> {
  return (await openBridge(root(rockRidge), root(udf), new Budget()))?.children();
}

function file(offset: number, length: number): IsoEntry {
  return { type: 'file', extents: [{ offset, length }], size: length, modified: undefined };
}

t.test('a compressed file stays one on a bridge, although UDF has the size of what is stored', async (t) => {
  const zisofs = { headerBytes: 16, blockBytes: 32_768, size: 100_000 };
  const compressed = { ...file(5000, 700), size: zisofs.size, zisofs } as IsoEntry;
  const open = async (udf: IsoEntry) => {
    const bridge = await openBridge(root({ packed: compressed }), root({ packed: udf }), new Budget());
    return (await bridge?.children())?.get('packed');
  };
  t.equal(await open(file(5000, 700)), compressed);
  const elsewhere = file(9000, 2 ** 32 + 700);
  t.strictSame(await open(elsewhere), { ...compressed, extents: [{ offset: 9000, length: 2 ** 32 + 700 }] });
});

t.test('a file has the size and the place that UDF says, where the two differ', async (t) => {
  const small = file(5000, 100);
  const children = await bridged(
    { 'big.wim': small, same: file(9000, 7) },
    { 'big.wim': file(5000, 2 ** 32 + 100), same: file(9000, 7) },
  );
  t.match(children?.get('big.wim'), { size: 2 ** 32 + 100, extents: [{ offset: 5000, length: 2 ** 32 + 100 }] });
  t.same(children?.get('same'), file(9000, 7));
});

t.test('a file whose name UDF has changed is known by its place', async (t) => {
  const children = await bridged({ 'a;1': file(5000, 100) }, { a_1: file(5000, 2 ** 32 + 100) });
  t.same([...(children?.keys() ?? [])], ['a;1'], 'and keeps the name of Rock Ridge');
  t.match(children?.get('a;1'), { size: 2 ** 32 + 100 });
});

t.test('links are those of Rock Ridge, although UDF has an empty file in their place', async (t) => {
  const link: IsoEntry = { type: 'link', target: 'a', modified: undefined };
  const empty: IsoEntry = { type: 'file', extents: [], size: 0, modified: undefined };
  for (const name of ['link', 'link_1']) {
    t.same((await bridged({ a: file(5000, 1), link }, { a: file(5000, 1), [name]: empty }))?.get('link'), link);
  }
});

t.test(
  'folders go together by their names, to any depth; one that UDF has not or cannot be read is that of Rock Ridge',
  async (t) => {
    const inner = { file: file(5000, 100) };
    const outer = (entries: Entries) => ({ dir: root({ deep: root(entries) }), ...entries });
    const sizeOf = async (udf: Entries) => {
      const dir = (await bridged(outer(inner), udf))?.get('dir');
      const deep = dir?.type === 'folder' ? (await dir.children()).get('deep') : undefined;
      if (deep?.type !== 'folder') throw new Error('no folder');
      t.equal(deep.path, 'dir/deep');
      const found = (await deep.children()).get('file');
      return found?.type === 'file' ? found.size : undefined;
    };
    t.equal(await sizeOf(outer({ file: file(5000, 2 ** 32 + 100) })), 2 ** 32 + 100);
    t.equal(await sizeOf({ file: file(5000, 100) }), 100);
    t.equal(await sizeOf({ dir: broken(), file: file(5000, 100) }), 100);
  },
);

t.test('trees of different files are no bridge', async (t) => {
  t.equal(await bridged({ 'readme.txt': file(5000, 100) }, { 'setup.exe': file(9000, 100) }), undefined);
  t.equal(await bridged({ 'readme.txt': file(5000, 100) }, { sources: root({}) }), undefined);
  t.ok(await bridged({ 'readme.txt': file(5000, 100), more: file(7000, 1) }, { 'readme.txt': file(5000, 100) }));
});

t.test('a file keeps its bytes where UDF has given its name to another one', async (t) => {
  const [a, b] = [file(5000, 8), file(7000, 2)];
  const children = await bridged({ 'a;1': a, a_1: b }, { a_1: a });
  t.same([children?.get('a;1'), children?.get('a_1')], [a, b]);
});

t.test('files that begin at the same place and are of other sizes are not taken for the same', async (t) => {
  const [short, long] = [file(5000, 40), file(5000, 100)];
  const children = await bridged({ dir: root({ a: short, b: long }) }, { dir: root({ b: long }) });
  const dir = children?.get('dir');
  const found = dir?.type === 'folder' ? await dir.children() : undefined;
  t.same([found?.get('a'), found?.get('b')], [short, long]);
});

t.test('a file that UDF has in another place is read there, as Linux does', async (t) => {
  t.match((await bridged({ a: file(5000, 100) }, { a: file(9000, 100) }))?.get('a'), { extents: [{ offset: 9000 }] });
});

t.test('a folder whose name UDF has changed is known by a file in it, or by being the last', async (t) => {
  const sizeIn = async (folder: IsoEntry | undefined, name: string) => {
    const found = folder?.type === 'folder' ? (await folder.children()).get(name) : undefined;
    return found?.type === 'file' ? found.size : undefined;
  };
  const small = { big: file(5000, 100), 'same.txt': file(4000, 1) };
  const large = { big: file(5000, 2 ** 32 + 100), 'same.txt': file(4000, 1) };
  const top = await bridged(
    { 'd;1': root(small), 'e;1': root({ other: file(3000, 5) }) },
    { d_1: root(large), e_1: root({ other: file(3000, 5) }) },
  );
  t.equal(await sizeIn(top?.get('d;1'), 'big'), 2 ** 32 + 100);
  t.same([...(top?.keys() ?? [])], ['d;1', 'e;1']);
  const empty: IsoEntry = { type: 'file', extents: [], size: 0, modified: undefined };
  const inside = (
    await bridged(
      { dir: root({ 'd;1': root({ big: empty }) }) },
      { dir: root({ d_1: root({ big: file(5000, 2 ** 32) }) }) },
    )
  )?.get('dir');
  const deep = inside?.type === 'folder' ? (await inside.children()).get('d;1') : undefined;
  t.equal(await sizeIn(deep, 'big'), 2 ** 32, 'a size of which ISO 9660 has nothing');
});

t.test('what was hidden from ISO 9660 is shown below the root', async (t) => {
  const own = { dir: root({ a: file(5000, 1) }) };
  const hidden = { a: file(5000, 1), hidden: file(7000, 1), more: root({ b: file(8000, 1) }) };
  const dir = (await bridged(own, { dir: root(hidden) }))?.get('dir');
  const children = dir?.type === 'folder' ? await dir.children() : undefined;
  t.same([...(children?.keys() ?? [])], ['a', 'hidden', 'more']);
  const more = children?.get('more');
  t.equal(more?.type === 'folder' && more.path, 'dir/more');
  t.ok(more?.type === 'folder' && (await more.children()).has('b'));
});

t.test('a folder that was too much for one request is compared anew for the next one', async (t) => {
  const udf = root({ file: file(5000, 2 ** 32 + 100) });
  const reading = (budget?: Budget) => {
    budget?.addEntries(50);
    return udf.children();
  };
  const dirs = {
    own: root({ dir: root({ file: file(5000, 100) }) }),
    udf: root({ dir: { ...udf, read: reading } }),
  };
  const dir = (await (await openBridge(dirs.own, dirs.udf, new Budget()))?.children())?.get('dir');
  if (dir?.type !== 'folder') throw new Error('no folder');
  await t.rejects(dir.children(new Budget(10)), { code: 'BROKEN_ISO' });
  t.match((await dir.children(new Budget(1000))).get('file'), { size: 2 ** 32 + 100 });
});

t.test('big folders let others run while they are compared', async (t) => {
  const many = () =>
    root(Object.fromEntries(Array.from({ length: 60_000 }, (_, index) => [`f${index}`, file(2048 * (index + 1), 1)])));
  const [own, udf] = [many(), many()];
  const opened = openBridge(own, udf, new Budget());
  t.ok((await countTurns(opened)) > 2);
  t.ok((await countTurns((await opened)?.children() ?? Promise.resolve())) > 2);
});
