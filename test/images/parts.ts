import { mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Hashing } from '../../lib/images/hashing.js';
import { Part, type PartRecord, bootOf } from '../../lib/images/part.js';
import { Parts } from '../../lib/images/parts.js';
import { createLog } from '../../lib/log.js';

const hashing = new Hashing();
t.teardown(() => hashing.stop());

const boot = await bootOf();

/** A folder that an earlier run has left, and what the next run says of it. */
function setUp(t: Test) {
  const folder = t.testdir({});
  const said: string[] = [];
  const open = () =>
    Parts.open(
      folder,
      hashing,
      createLog(0, (line) => said.push(line)),
    );
  return { folder, said, open };
}

const record: PartRecord = { name: 'x.iso', source: 'upload', length: 100, boot, synced: 5 };

/** Leaves a part as a run does that was killed. @returns its path without the ending */
async function leave(folder: string, left: unknown, bytes = '0123456789', name = 'x.iso'): Promise<string> {
  const stem = Part.stemOf(folder, name);
  await writeFile(`${stem}.part`, bytes);
  await writeFile(`${stem}.json`, typeof left === 'string' ? left : JSON.stringify(left));
  return stem;
}

t.test('what an earlier run has left is found again, whatever its name', async (t) => {
  const names = ['x.iso', 'a'.repeat(255), 'ä'.repeat(127), '"quoted" \\ \'', 'line\nfeed', '__proto__', '..'];
  const { folder, open } = setUp(t);
  const first = await open();
  const killed: Part[] = [];
  for (const [index, name] of names.entries()) {
    const part = first.take(name);
    await part.startOver({ ...record, name, length: 1000 + index, boot: first.boot });
    await part.open(['sha256']);
    await part.write([Buffer.from('x'.repeat(index + 1))]);
    // One half as if they had been killed.
    if (index % 2 === 0) await part.pause();
    else killed.push(part);
  }
  t.same(first.all(), [], 'what was taken is not there for anybody else');
  const second = await open();
  t.equal(second.all().length, names.length);
  for (const [index, name] of names.entries()) {
    const part = second.get(name);
    t.equal(part?.bytes, index + 1, name);
    t.match(part?.record, { name, source: 'upload', length: 1000 + index, boot });
    t.equal(second.take(name), part);
    await part?.remove();
  }
  for (const name of names) t.equal(second.get(name), undefined);
  for (const part of killed) await part.remove();
  t.same(await readdir(folder), []);
});

t.test('the origin of a download is found again, and when its last byte came', async (t) => {
  const { folder, open } = setUp(t);
  const origin = { validator: '"tag"', length: 100 };
  const stem = await leave(folder, { ...record, source: 'http://far/x.iso', origin });
  await utimes(`${stem}.part`, 1000, 2000);
  const part = (await open()).get('x.iso');
  t.same(part?.record?.origin, origin);
  t.equal(part?.record?.source, 'http://far/x.iso');
  t.equal(part?.touched, 2_000_000);
});

const counts: readonly { what: string; left: Partial<PartRecord>; size: number; bytes: number }[] = [
  { what: 'a run that was killed', left: {}, size: 10, bytes: 10 },
  { what: 'a power cut', left: { boot: 'another' }, size: 10, bytes: 5 },
  { what: 'a power cut that took bytes', left: { boot: 'another', synced: 50 }, size: 10, bytes: 10 },
  { what: 'a run that was killed before the last byte', left: { length: 11 }, size: 10, bytes: 10 },
  { what: 'a run that was killed after the last byte', left: { length: 10 }, size: 10, bytes: 9 },
  { what: 'a power cut after the last byte', left: { boot: 'another', length: 10, synced: 10 }, size: 10, bytes: 9 },
  { what: 'a run that had more than there should be', left: { length: 4 }, size: 10, bytes: 3 },
];

for (const { what, left, size, bytes } of counts) {
  t.test(`after ${what} ${bytes} of ${size} bytes count`, async (t) => {
    const { folder, open } = setUp(t);
    await leave(folder, { ...record, ...left }, 'x'.repeat(size));
    const part = (await open()).get('x.iso');
    t.equal(part?.bytes, bytes);
    t.equal(part?.record?.boot, boot, 'and what comes now counts for this boot');
  });
}

t.test('of a file of unknown length all bytes count', async (t) => {
  const { folder, open } = setUp(t);
  const { length, ...unknown } = record;
  await leave(folder, unknown);
  t.equal((await open()).get('x.iso')?.bytes, 10);
});

const broken: readonly (readonly [what: string, left: unknown, bytes?: string])[] = [
  ['is empty', ''],
  ['was written by half', JSON.stringify(record).slice(0, 40)],
  ['is no object', 'null'],
  ['is an array', '[]'],
  ['is of another file', { ...record, name: 'y.iso' }],
  ['has no name', { ...record, name: undefined }],
  ['has a name that is no text', { ...record, name: 5 }],
  ['has no source', { ...record, source: undefined }],
  ['has a source that is no text', { ...record, source: null }],
  ['has no boot', { ...record, boot: undefined }],
  ['has a length that is text', { ...record, length: '100' }],
  ['has a length below zero', { ...record, length: -100 }],
  ['has half a byte', { ...record, length: 10.5 }],
  ['has a length of nothing', { ...record, length: 0 }],
  ['has no count of safe bytes', { ...record, synced: undefined }],
  ['has a count of safe bytes below zero', { ...record, boot: 'another', synced: -1 }],
  ['has an origin that is text', { ...record, origin: '"tag"' }],
  ['has a validator that is no text', { ...record, origin: { validator: 5 } }],
  ['has a length of its origin that is text', { ...record, origin: { validator: '"tag"', length: '5' } }],
  ['says that no byte is safe', { ...record, boot: 'another', synced: 0 }],
  ['has no bytes', record, ''],
  ['is of a file whose only byte is there', { ...record, length: 1 }, 'x'],
];

for (const [what, left, bytes] of broken) {
  t.test(`a part whose record ${what} is cleared away`, async (t) => {
    const { folder, said, open } = setUp(t);
    await leave(folder, left, bytes);
    const parts = await open();
    t.same(parts.all(), []);
    t.same(await readdir(folder), []);
    t.same(said, []);
  });
}

t.test('bytes without a record, and a record without bytes, are cleared away, and nothing else', async (t) => {
  const { folder, said, open } = setUp(t);
  const stem = (name: string) => Part.stemOf(folder, name);
  await writeFile(`${stem('a')}.part`, 'bytes');
  await writeFile(`${stem('b')}.json`, JSON.stringify({ ...record, name: 'b' }));
  const others = ['store.json', 'SHA256SUMS', 'notes.json', 'x.part.txt', 'abc.json', `${'0'.repeat(32)}.txt`];
  for (const name of others) await writeFile(join(folder, name), JSON.stringify(record));
  const useless = ['store.part', '.part', 'an upload.part', 'store.json.tmp', 'SHA256SUMS.tmp'];
  for (const name of useless) await writeFile(join(folder, name), 'bytes');
  t.same((await open()).all(), []);
  t.same((await readdir(folder)).sort(), others.sort());
  t.equal(await readFile(join(folder, 'store.json'), 'utf8'), JSON.stringify(record));
  t.same(said, []);
});

t.test(
  'what is no file is not taken for a part, and what cannot be removed does not keep us from starting',
  async (t) => {
    const { folder, said, open } = setUp(t);
    const stem = (name: string) => Part.stemOf(folder, name);
    await leave(folder, { ...record, name: 'good' }, 'good bytes', 'good');
    await mkdir(`${stem('folder')}.part`);
    await mkdir(`${stem('record')}.json`);
    await writeFile(`${stem('link')}.json`, JSON.stringify({ ...record, name: 'link' }));
    await symlink(`${stem('good')}.part`, `${stem('link')}.part`);
    const parts = await open();
    t.same(
      parts.all().map((part) => part.record?.name),
      ['good'],
    );
    t.equal(said.length, 2);
    for (const line of said) t.match(line, / warning +A leftover cannot be removed: /);
    t.equal((await readdir(folder)).length, 4, 'the good one and the folders');
  },
);

t.test('what is kept can be taken once', async (t) => {
  const { folder, open } = setUp(t);
  await leave(folder, record);
  const parts = await open();
  t.equal(parts.all().length, 1);
  const part = parts.take('x.iso');
  t.equal(part.bytes, 10);
  t.equal(parts.get('x.iso'), undefined);
  const other = parts.take('y.iso');
  t.equal(other.bytes, 0);
  t.equal(other.record, undefined);
  parts.keep('x.iso', part);
  t.equal(parts.get('x.iso'), part);
});

t.test('what is removed leaves nothing, and removing nothing is fine', async (t) => {
  const { folder, open } = setUp(t);
  await leave(folder, record);
  const parts = await open();
  t.equal(await parts.remove('x.iso'), true);
  t.equal(await parts.remove('x.iso'), false);
  t.equal(parts.get('x.iso'), undefined);
  t.same(await readdir(folder), []);
});

t.test('what has waited too long for its next byte is given up, and nothing else', async (t) => {
  const { folder, said, open } = setUp(t);
  const now = Date.now() / 1000;
  for (const [name, age] of [
    ['old', 7200],
    ['older', 9000],
    ['young', 1800],
  ] as const) {
    const stem = await leave(folder, { ...record, name }, '0123456789', name);
    await utimes(`${stem}.part`, now - age, now - age);
  }
  const parts = await open();
  await parts.expire(3_600_000);
  t.same(
    parts.all().map((part) => part.record?.name),
    ['young'],
  );
  t.equal((await readdir(folder)).length, 2);
  t.match(said.sort(), [/ info +old: 10 bytes of an interrupted transfer are given up/, / info +older: 10 bytes/]);
});

t.test('a part that cannot be removed does not keep the others', async (t) => {
  const { folder, said, open } = setUp(t);
  for (const name of ['a', 'b']) await leave(folder, { ...record, name }, '0123456789', name);
  const parts = await open();
  const path = parts.get('a')?.path ?? '';
  await rm(path);
  await mkdir(path);
  await parts.expire(-1);
  t.same(parts.all(), []);
  t.match(said.join(''), / warning /);
  t.notOk((await readdir(folder)).includes(`${Part.stemOf('', 'b')}.part`));
});
