import { rename, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { sectorBytes } from '../../lib/iso/entries.js';
import { ask, json } from '../fixtures/client.js';
import { errorsOf, readAll } from '../fixtures/http-server.js';
import { field, folderRecord, linkFields, record } from '../fixtures/iso-builder.js';
import { rockRidge } from '../fixtures/iso-volume.js';
import { startTestService, type TestService } from '../fixtures/service.js';
import { begin, finish } from '../fixtures/slow-download.js';
import { smallIso } from '../fixtures/small-iso.js';

/** Bytes: more than the kernel's socket buffers take. */
const large = 48 * 2 ** 20;

/** A service with an image `good` `1`, and one `n` `1` made of this ISO. */
async function serve(t: Test, iso: Buffer): Promise<TestService & { readonly path: string }> {
  const service = await startTestService(t);
  const path = join(service.folder, 'static/iso/n.iso');
  await writeFile(path, iso);
  await writeFile(join(service.folder, 'static/iso/good.iso'), smallIso({ file: 'good' }));
  for (const name of ['n', 'good']) {
    const headers = { prefer: 'wait=10' };
    const added = await ask(service.north, `/images?name=${name}&version=1&isostore=${name}.iso`, {
      method: 'PUT',
      headers,
    });
    t.equal(added.status, 201);
  }
  return { ...service, path };
}

function named(name: string, ...fields: Buffer[]): Buffer {
  return record('X.;1', { block: 60, length: 4, systemUse: Buffer.concat([field.nm(name), ...fields]) });
}

/** An ISO with one large file, whose last bytes are `the end`. */
function largeIso(): Buffer {
  const blocks = large / sectorBytes;
  const systemUse = field.nm('large');
  return rockRidge([record('L.;1', { block: 200, length: large, systemUse }), named('small')], (builder) => {
    const last = Buffer.alloc(sectorBytes);
    last.write('the end', sectorBytes - 7);
    builder.put(60, 'tiny').put(200 + blocks - 1, last);
  });
}

t.test('every odd name of an ISO is listed, and fetched by its URL', async (t) => {
  const names = [
    ...['%2e', '%2e%2e', '%2F', '%00', '..%2f..', 'a%zz', '...', '.a', '..a', ' ', ' a ', 'a+b', 'a?b#c', 'a;1', '\\'],
    ...['..\\..\\x', '\u00e9', 'e\u0301', 'A', 'a', '-rf', '__proto__', 'constructor', 'a:b', '"', '<b>&', "'"],
    ...['\u{1f600}', '\u202etxt.exe', '\ufeff', '\u0085', 'n'.repeat(200)],
  ];
  const fields = names.map((name, index) => {
    const place = { block: 60 + index, length: String(index).length };
    return record('X.;1', { ...place, systemUse: field.nm(name) });
  });
  const { south } = await serve(
    t,
    rockRidge(fields, (builder) => {
      for (const index of names.keys()) builder.put(60 + index, String(index));
    }),
  );
  const listed = json(await ask(south, '/n/1/?format=json')) as { name: string }[];
  t.same(listed.map(({ name }) => name).sort(), [...names].sort());
  for (const [index, name] of names.entries()) {
    const { status, text } = await ask(south, `/n/1/${encodeURIComponent(name)}`);
    t.same([status, text], [200, String(index)], JSON.stringify(name));
  }
  const text = (await ask(south, '/n/1/?format=text')).text;
  t.equal(text.split('\n').length, names.length + 1, 'a line for each');
});

t.test('no spelling of `..` leads out of an image through its links', async (t) => {
  const links = {
    up: '../../../../../../..',
    etc: '/etc',
    'etc by dots': '../../../../../etc',
    dir: 'd',
    here: '.',
    encoded: '%2e%2e/%2e%2e/inventory.json',
    passwd: '/etc/passwd',
  };
  const records = Object.entries(links).map(([name, target]) => named(name, linkFields(target)));
  const folder = folderRecord('D', 70, sectorBytes, { systemUse: field.nm('d') });
  const { south } = await serve(
    t,
    rockRidge([...records, folder, named('file')], (builder) => {
      builder.folder(70, [named('inside'), named('out', linkFields('../../../..'))]);
      builder.put(60, 'tiny');
    }),
  );
  const nothing = [
    ...['/etc/passwd', '/etc%20by%20dots/passwd', '/passwd', '/encoded', '/up/etc/passwd', '/up/inventory.json'],
    ...['/dir/%2e%2e/%2e%2e/inventory.json', '/dir/..%2f..%2finventory.json', '/dir/%252e%252e/inventory.json'],
    ...['/dir/out/etc/passwd', '/dir/out/inventory.json', '/here/../../inventory.json', '/d/%2e%2e%5cfile'],
  ];
  for (const path of nothing) {
    const { status, text } = await ask(south, `/n/1${path}`);
    t.ok(status === 404 || status === 400, `${path}: ${status}`);
    t.notMatch(text, /root:|"images"/, path);
  }
  for (const path of ['/up/file', '/dir/inside', '/dir/out/file', `${'/here'.repeat(39)}/file`]) {
    t.equal((await ask(south, `/n/1${path}`)).text, 'tiny', path);
  }
  t.equal((await ask(south, `/n/1${'/here'.repeat(41)}/file`)).status, 404, 'more links than one lookup follows');
});

t.test('an ISO that is cut off under a download cuts the connection, and the service goes on', async (t) => {
  const { south, path, log } = await serve(t, largeIso());
  const response = await begin(`${south}/n/1/large`);
  t.equal(response.headers['content-length'], `${large}`);
  await truncate(path, 100 * sectorBytes);
  const { bytes, complete } = await finish(response);
  t.ok(bytes < large, `${bytes} bytes`);
  t.equal(complete, false);
  for (const name of ['large', 'small', '']) {
    t.equal((await ask(south, `/n/1/${name}`)).status, 503, 'nobody knows what it is now');
  }
  t.equal((await ask(south, '/good/1/file')).text, 'good');
  await writeFile(path, largeIso());
  t.equal((await ask(south, '/n/1/small')).text, 'tiny', 'whole again, it is served again');
  t.same(
    errorsOf(log).filter((line) => line.includes('internal')),
    [],
  );
});

for (const [how, change] of Object.entries({
  'replaced by another one': async (path: string) => {
    await writeFile(`${path}.new`, Buffer.alloc(1_000_000, 'other'));
    await rename(`${path}.new`, path);
  },
  deleted: (path: string) => rm(path),
})) {
  t.test(`an ISO that is ${how} under a download is served on as it was`, async (t) => {
    const { south, path } = await serve(t, largeIso());
    const response = await begin(`${south}/n/1/large`);
    await change(path);
    const body = await readAll(response);
    t.equal(body.length, large);
    t.equal(body.subarray(-7).toString(), 'the end');
    t.equal((await ask(south, '/n/1/large', { headers: { range: 'bytes=-7' } })).text, 'the end', 'for others too');
    t.equal((await ask(south, '/n/1/small')).text, 'tiny');
  });
}

t.test('an ISO that grows under a download is sent as it was announced', async (t) => {
  const { south, path } = await serve(t, largeIso());
  const response = await begin(`${south}/n/1/large`);
  await truncate(path, 2 * large);
  t.same(await finish(response), { bytes: large, complete: true });
  t.equal((await ask(south, '/n/1/small')).text, 'tiny');
});
