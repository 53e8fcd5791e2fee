import { chmod, mkdir, realpath, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { ImageRecord, ImageSource } from '../../lib/images/record.js';
import { checkLocal, checkStored, isoNameOf, isoOf, isoPathOf, storedNameOf } from '../../lib/images/sources.js';
import { Hashing } from '../../lib/images/hashing.js';
import { Store } from '../../lib/images/store.js';
import { createLog } from '../../lib/log.js';
import { makeFifo } from '../fixtures/folder-setup.js';
import { smallIso } from '../fixtures/small-iso.js';

const badRequest = { name: 'ServiceError', code: 'BAD_REQUEST' };

t.test('the stored name comes from the name, the path or the URL', (t) => {
  const cases: [kind: ImageSource['kind'], value: string, name: string, iso?: string][] = [
    ['isostore', 'x.iso', 'x.iso'],
    ['isoclient', 'my own.iso', 'my own.iso'],
    ['isolocal', '/srv/x.iso', 'x.iso', '/srv/x.iso'],
    ['isolocal', '/x', 'x', '/x'],
    ['isoweb', 'http://host/a/b.iso', 'b.iso'],
    ['isoweb', 'https://user:secret@host:8443/a/b.iso?c=/d.iso#e/f', 'b.iso'],
    ['isoweb', 'http://host/a%20b%C3%BC.iso', 'a bü.iso'],
  ];
  for (const [kind, value, name, iso = name] of cases) {
    t.equal(isoNameOf({ kind, value }), name, value);
    t.equal(isoOf({ kind, value }), iso, value);
  }
  t.end();
});

t.test('a source that names no file of the store is refused before anything happens', (t) => {
  const cases: [kind: ImageSource['kind'], value: string][] = [
    ['isostore', ''],
    ['isostore', '..'],
    ['isostore', '../x.iso'],
    ['isostore', '/etc/passwd'],
    ['isostore', '.image-service'],
    ['isostore', ' x.iso'],
    ['isoclient', 'a\nb'],
    ['isoclient', 'a\\b'],
    ['isoclient', 'x'.repeat(256)],
    ['isolocal', 'x.iso'],
    ['isolocal', './x.iso'],
    ['isolocal', ''],
    ['isolocal', '/'],
    ['isolocal', '/srv/..'],
    ['isolocal', '/srv/.hidden.iso'],
    ['isolocal', '/srv/x\0.iso'],
    ['isoweb', 'http://host/'],
    ['isoweb', 'http://host'],
    ['isoweb', 'http://host/a/'],
    ['isoweb', 'http://host/a%2Fb.iso'],
    ['isoweb', 'http://host/%00.iso'],
    ['isoweb', 'http://host/%ff.iso'],
    ['isoweb', 'http://host/.iso'],
    ['isoweb', 'file:///etc/passwd'],
    ['isoweb', 'x.iso'],
  ];
  for (const [kind, value] of cases) t.throws(() => isoNameOf({ kind, value }), badRequest, `${kind} ${value}`);
  t.end();
});

t.test('no message about a download tells its password', (t) => {
  for (const value of ['http://user:secret@host/', 'http://user:secret@host/.x', 'gopher://user:secret@host/x']) {
    try {
      isoNameOf({ kind: 'isoweb', value });
      t.fail(value);
    } catch (error) {
      t.match(error, badRequest);
      t.notMatch(error, { message: /secret/ });
    }
  }
  t.end();
});

async function setUp(t: Test) {
  const base = await realpath(t.testdir({ iso: {}, allowed: {}, 'allowed-too': {}, elsewhere: {} }));
  const log = createLog(5, () => undefined);
  const store = await Store.open(join(base, 'iso'), { log, hashing: new Hashing(), keptFor: () => 0 });
  const write = async (...names: string[]) => {
    const path = join(base, ...names);
    await writeFile(path, smallIso({ a: 'text' }));
    return path;
  };
  return { base, store, write };
}

t.test('the ISO of an image is in the store, or where its path says', async (t) => {
  const { store } = await setUp(t);
  const record = (iso: string): ImageRecord => ({ id: '1', name: 'n', version: 'v', iso, status: 'OK' });
  t.equal(storedNameOf(record('x.iso')), 'x.iso');
  t.equal(storedNameOf(record('/srv/x.iso')), 'x.iso');
  t.equal(isoPathOf(record('x.iso'), store), store.pathOf('x.iso'));
  t.equal(isoPathOf(record('/srv/x.iso'), store), '/srv/x.iso');
  t.throws(() => isoPathOf(record('../x.iso'), store), badRequest);
});

t.test('a file of the store must be there and be an ISO', async (t) => {
  const { store, write } = await setUp(t);
  await write('iso', 'good.iso');
  await writeFile(store.pathOf('bad.iso'), 'no ISO');
  await mkdir(store.pathOf('folder'));
  await checkStored('good.iso', store);
  await t.rejects(checkStored('bad.iso', store), { code: 'NOT_AN_ISO' });
  await t.rejects(checkStored('missing.iso', store), { code: 'NOT_FOUND' });
  await t.rejects(checkStored('folder', store), { code: 'NOT_FOUND' });
});

t.test('isolocal finds where a file really is', async (t) => {
  const { base, write } = await setUp(t);
  const path = await write('elsewhere', 'x.iso');
  await symlink(path, join(base, 'link.iso'));
  t.equal(await checkLocal(path, undefined), path);
  t.equal(await checkLocal(join(base, 'link.iso'), undefined), path);
});

t.test('isolocal takes only regular files that are ISOs, and never hangs', async (t) => {
  const { base } = await setUp(t);
  await makeFifo(join(base, 'fifo.iso'));
  await writeFile(join(base, 'text.iso'), 'no ISO');
  await symlink('loop.iso', join(base, 'loop.iso'));
  const cases: [name: string, code: string][] = [
    ['fifo.iso', 'BAD_REQUEST'],
    ['elsewhere', 'BAD_REQUEST'],
    ['text.iso', 'NOT_AN_ISO'],
    ['missing.iso', 'NOT_FOUND'],
    ['text.iso/below', 'NOT_FOUND'],
    ['loop.iso', 'NOT_FOUND'],
    ['x'.repeat(300), 'NOT_FOUND'],
  ];
  for (const [name, code] of cases) {
    await t.rejects(checkLocal(join(base, name), undefined), { name: 'ServiceError', code }, name);
  }
  await t.rejects(checkLocal('/dev/null', undefined), { code: 'BAD_REQUEST' });
});

t.test('isolocal that the service may not read is forbidden', async (t) => {
  const { base, write } = await setUp(t);
  const path = await write('elsewhere', 'x.iso');
  for (const folder of [base, join(base, 'elsewhere')]) await chmod(folder, 0o755);
  await chmod(path, 0);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65534);
  try {
    await t.rejects(checkLocal(path, undefined), { name: 'ServiceError', code: 'FORBIDDEN' });
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
});

t.test('isoLocalDirs restricts isolocal by name, and by where its links lead', async (t) => {
  const { base, write } = await setUp(t);
  const inside = await write('allowed', 'x.iso');
  const beside = await write('allowed-too', 'x.iso');
  const outside = await write('elsewhere', 'x.iso');
  await symlink(outside, join(base, 'allowed', 'out.iso'));
  await symlink(inside, join(base, 'elsewhere', 'in.iso'));
  await symlink('x.iso', join(base, 'allowed', 'within.iso'));
  const folders = [join(base, 'allowed')];
  t.equal(await checkLocal(inside, folders), inside);
  t.equal(await checkLocal(join(base, 'allowed', 'within.iso'), folders), inside);
  t.equal(await checkLocal(outside, ['/']), outside);
  t.equal(await checkLocal(inside, [`${base}/allowed/`]), inside);
  const refused = [
    outside,
    beside,
    `${base}/allowed/../elsewhere/x.iso`,
    `${base}/elsewhere/missing.iso`,
    `${base}/elsewhere/in.iso`,
    `${base}/allowed/out.iso`,
    `${base}/allowed`,
  ];
  for (const path of refused) {
    await t.rejects(checkLocal(path, folders), { name: 'ServiceError', code: 'FORBIDDEN' }, path);
  }
  await t.rejects(checkLocal(join(base, 'allowed', 'missing.iso'), folders), { code: 'NOT_FOUND' });
  await t.rejects(checkLocal(inside, []), { code: 'FORBIDDEN' }, 'an empty list allows nothing');
});
