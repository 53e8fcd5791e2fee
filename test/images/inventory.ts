import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { temporaryOf } from '../../lib/images/durable.js';
import { Inventory } from '../../lib/images/inventory.js';
import type { ImageRecord } from '../../lib/images/record.js';
import { createLog } from '../../lib/log.js';

const quiet = createLog(5, () => undefined);
const writer = fileURLToPath(new URL('../fixtures/inventory-writer.js', import.meta.url));

function image(id: string, others: Partial<ImageRecord> = {}): ImageRecord {
  return { id, name: 'ubuntu', version: id, iso: 'u.iso', status: 'OK', ...others };
}

function ids(inventory: Inventory): string[] {
  return inventory.all().map((record) => record.id);
}

async function onDisk(file: string): Promise<unknown> {
  return JSON.parse(await readFile(file, 'utf8'));
}

/** Opens an inventory over a file with this text; `said` is what the log got at the level critical. */
async function openOver(file: string, text: string) {
  const said: string[] = [];
  await writeFile(file, text);
  const inventory = await Inventory.open(
    file,
    createLog(4, (line) => said.push(line)),
  );
  return { inventory, said };
}

t.test('a missing file is an empty inventory, and comes with the first change, with its folder', async (t) => {
  const file = join(t.testdir({}), 'var', 'lib', 'inventory.json');
  const inventory = await Inventory.open(file, quiet);
  t.same(inventory.all(), []);
  await t.rejects(stat(dirname(file)), { code: 'ENOENT' }, 'reading creates nothing');
  await inventory.put(image('1'));
  t.same(await onDisk(file), { images: [image('1')] });
});

t.test('records stay in the order in which they were added, through changes and restarts', async (t) => {
  const file = join(t.testdir({}), 'inventory.json');
  const inventory = await Inventory.open(file, quiet);
  await Promise.all(['b', 'a', 'c'].map((id) => inventory.put(image(id))));
  await inventory.put(image('b', { status: 'failed', error: 'why', own: { deep: true } }));
  t.same(await inventory.remove('a'), image('a'));
  t.same(ids(inventory), ['b', 'c']);
  const again = await Inventory.open(file, quiet);
  t.same(again.all(), inventory.all());
  t.same(again.get('b'), image('b', { status: 'failed', error: 'why', own: { deep: true } }));
  t.equal(again.get('a'), undefined);
});

t.test('removing what is not there changes nothing', async (t) => {
  const folder = t.testdir({});
  const inventory = await Inventory.open(join(folder, 'inventory.json'), quiet);
  t.equal(await inventory.remove('1'), undefined);
  t.same(await readdir(folder), []);
});

t.test('of many changes at once each one counts', async (t) => {
  const file = join(t.testdir({}), 'inventory.json');
  const inventory = await Inventory.open(file, quiet);
  const wanted = Array.from({ length: 50 }, (_, i) => `${i}`);
  const removed = await Promise.all([
    ...wanted.map((id) => inventory.put(image(id))),
    inventory.remove('7'),
    inventory.remove('7'),
  ]);
  t.same(removed.slice(50), [image('7'), undefined]);
  t.same(
    ids(await Inventory.open(file, quiet)),
    wanted.filter((id) => id !== '7'),
  );
});

t.test('what a caller does to its object after put() does not reach the inventory', async (t) => {
  const inventory = await Inventory.open(join(t.testdir({}), 'inventory.json'), quiet);
  const record = { ...image('1'), name: 'before' };
  const saved = inventory.put(record);
  record.name = 'after';
  await saved;
  t.equal(inventory.get('1')?.name, 'before');
});

t.test('when the disk is full a change fails, memory and disk stay as they were, and the next one works', async (t) => {
  const folder = t.testdir({});
  const file = join(folder, 'inventory.json');
  const inventory = await Inventory.open(file, quiet);
  await inventory.put(image('1'));
  const before = await readFile(file, 'utf8');
  for (const change of [() => inventory.put(image('2')), () => inventory.remove('1')]) {
    await symlink('/dev/full', temporaryOf(file));
    const error: unknown = await change().catch((error: unknown) => error);
    t.match(error, { name: 'ServiceError', code: 'NO_SPACE' });
    t.notMatch(error, { message: new RegExp(folder) });
    t.same(ids(inventory), ['1']);
    t.equal(await readFile(file, 'utf8'), before);
    t.same(await readdir(folder), ['inventory.json']);
  }
  await inventory.put(image('2'));
  t.same(ids(inventory), ['1', '2']);
});

t.test('a change that fails otherwise is an internal error, also for what cannot be written', async (t) => {
  const folder = t.testdir({ parent: 'a file' });
  const inventory = await Inventory.open(join(folder, 'inventory.json'), quiet);
  await t.rejects(inventory.put(image('1', { own: 1n })), { code: 'INTERNAL' });
  await mkdir(temporaryOf(join(folder, 'inventory.json')));
  await t.rejects(inventory.put(image('1')), { code: 'INTERNAL' });
  t.same(inventory.all(), []);
});

t.test('a leftover of a crash is removed at the start', async (t) => {
  const folder = t.testdir({ 'inventory.json': '{"images":[]}', 'inventory.json.tmp': '{"ima' });
  await Inventory.open(join(folder, 'inventory.json'), quiet);
  t.same(await readdir(folder), ['inventory.json']);
});

t.test('a broken file is kept aside, said loudly, and nothing is overwritten', async (t) => {
  const folder = t.testdir({});
  const file = join(folder, 'inventory.json');
  const texts = ['', '{"images":[', '[]', '{"images":{}}', 'null', '{"images":["x"'];
  for (const text of texts) {
    const { inventory, said } = await openOver(file, text);
    t.same(inventory.all(), [], JSON.stringify(text));
    t.equal(said.length, 1);
    t.match(said[0], `${file} is broken`);
    t.match(said[0], `kept as ${file}.broken-`);
    await t.rejects(stat(file), { code: 'ENOENT' }, 'the file itself has moved');
  }
  const kept = await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')));
  t.same(kept.sort(), texts.sort());
});

t.test('two broken files of the same millisecond get two names', async (t) => {
  const folder = t.testdir({});
  t.intercept(Date.prototype, 'toISOString', { value: () => '2026-01-02T03:04:05.678Z' });
  for (const text of ['one', 'two', 'three']) await openOver(join(folder, 'inventory.json'), text);
  const names = (await readdir(folder)).sort();
  const first = 'inventory.json.broken-2026-01-02T030405.678Z';
  t.same(names, [first, `${first}-2`, `${first}-3`]);
  t.same((await Promise.all(names.map((name) => readFile(join(folder, name), 'utf8')))).sort(), [
    'one',
    'three',
    'two',
  ]);
});

t.test('of a damaged file the good records load and the whole is kept aside, once', async (t) => {
  const folder = t.testdir({});
  const file = join(folder, 'inventory.json');
  const text = JSON.stringify({ images: [image('1'), { id: '2' }, image('3')], format: 2 });
  await writeFile(file, text, { mode: 0o640 });
  const { inventory, said } = await openOver(file, text);
  t.same(ids(inventory), ['1', '3']);
  t.equal(said.length, 1);
  t.match(said[0], /is damaged \(images\[1\]: "name" is missing.*kept as .*\.broken-/);
  const kept = (await readdir(folder)).filter((name) => name !== 'inventory.json');
  t.equal(kept.length, 1);
  t.equal(await readFile(join(folder, kept[0] ?? ''), 'utf8'), text);
  await Inventory.open(file, quiet);
  t.equal((await readdir(folder)).length, 2, 'the next start finds nothing to complain about');
  await inventory.put(image('4'));
  t.same(await onDisk(file), { images: [image('1'), image('3'), image('4')], format: 2 });
  t.equal((await stat(file)).mode & 0o777, 0o640);
});

t.test('a file that is there and cannot be read stops the start', async (t) => {
  const folder = t.testdir({ 'inventory.json': '{"images":[]}' });
  const file = join(folder, 'inventory.json');
  await chmod(folder, 0o755);
  await chmod(file, 0);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65534);
  try {
    await t.rejects(Inventory.open(file, quiet), { code: 'INTERNAL', message: /EACCES/ });
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
  await t.rejects(Inventory.open(folder, quiet), { code: 'INTERNAL', message: /EISDIR/ });
  await t.rejects(Inventory.open(join(file, 'below'), quiet), { code: 'INTERNAL', message: /ENOTDIR/ });
});

t.test('a link in the place of the file is followed, not replaced', async (t) => {
  const folder = t.testdir({ state: { 'real.json': '{"images":[]}' } });
  await symlink('state/real.json', join(folder, 'inventory.json'));
  const inventory = await Inventory.open(join(folder, 'inventory.json'), quiet);
  await inventory.put(image('1'));
  t.same(await onDisk(join(folder, 'state', 'real.json')), { images: [image('1')] });
});

/** Runs the writer and kills it a moment after it is ready; returns the ids whose put() had resolved. */
async function killedWriter(file: string, run: string, delay: number): Promise<string[]> {
  const child = spawn(process.execPath, [writer, file, run], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (output === '') setTimeout(() => child.kill('SIGKILL'), delay);
    output += text;
  });
  await once(child, 'close');
  t.equal(child.signalCode, 'SIGKILL');
  return output.split('\n').slice(1, -1);
}

t.test('after kill -9 at any moment the file is whole and holds every record that was promised', async (t) => {
  const folder = t.testdir({});
  const file = join(folder, 'inventory.json');
  const promised: string[] = [];
  for (let run = 0; run < 20; run++) {
    promised.push(...(await killedWriter(file, `${run}`, Math.random() * 40)));
    const said: string[] = [];
    const inventory = await Inventory.open(
      file,
      createLog(0, (line) => said.push(line)),
    );
    const there = new Set(ids(inventory));
    t.same(
      promised.filter((id) => !there.has(id)),
      [],
    );
    t.same(said, []);
  }
  t.ok(promised.length > 20, `${promised.length} records`);
  t.ok((await readdir(folder)).every((name) => name === 'inventory.json'));
});
