import { copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Ask, ask, json } from '../fixtures/client.js';
import { farEnd } from '../fixtures/download-server.js';
import { settledImage } from '../fixtures/e2e-tools.js';
import { type TestService, startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

interface Record {
  [member: string]: unknown;
  id: string;
  status: string;
}

const wait = { prefer: 'wait=10' };

/** A service whose store has `a.iso` with one file, `readme`. */
async function startWithIso(t: Test, settings = {}): Promise<TestService & { iso: Buffer }> {
  const started = await startTestService(t, settings);
  const iso = smallIso({ readme: 'hello' });
  await writeFile(join(started.folder, 'static/iso/a.iso'), iso);
  return { ...started, iso };
}

const put = (service: TestService, query: string, options: Ask = {}) =>
  ask(service.north, `/images?${query}`, { method: 'PUT', ...options });

t.test('an image from the store is accepted as preparing and then OK, and its files are served', async (t) => {
  const service = await startWithIso(t);
  const answer = await put(service, 'name=photon&version=1.0&isostore=a.iso');
  t.equal(answer.status, 202);
  const record = json(answer) as Record;
  t.match(record, { name: 'photon', version: '1.0', iso: 'a.iso', status: 'preparing' });
  t.match(record.id, /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  t.equal((await ask(service.south, '/photon/1.0/readme')).text, 'hello');
  t.match(json(await ask(service.north, `/images/${record.id}`)), { id: record.id, status: 'OK' });
  t.equal((await ask(service.north, '/images/6807e9b2-a763-4b74-bfe9-4b20fe964400')).status, 404);
});

t.test('Prefer: wait makes the answer wait until the image is OK', async (t) => {
  const service = await startWithIso(t);
  const answer = await put(service, 'name=photon&version=1.0&isostore=a.iso', { headers: wait });
  t.equal(answer.status, 201);
  t.equal(answer.headers['preference-applied'], 'wait=10');
  t.match(json(answer), { status: 'OK', bytes: service.iso.length });
});

t.test('the list can be filtered by every documented member', async (t) => {
  const service = await startWithIso(t);
  await copyFile(join(service.folder, 'static/iso/a.iso'), join(service.folder, 'static/iso/b.iso'));
  await put(service, 'name=photon&version=1.0&isostore=a.iso', { headers: wait });
  await put(service, 'name=photon&version=2.0&isostore=b.iso', { headers: wait });
  const versions = async (query: string) =>
    (json(await ask(service.north, `/images?${query}`)) as { version: string }[]).map(({ version }) => version);
  t.same(await versions(''), ['1.0', '2.0']);
  t.same(await versions('name=photon'), ['1.0', '2.0']);
  t.same(await versions('name=photon&version=2.0'), ['2.0']);
  t.same(await versions('iso=a.iso'), ['1.0']);
  t.same(await versions('status=OK'), ['1.0', '2.0']);
  t.same(await versions('status=failed'), []);
  t.equal((await ask(service.north, '/images?nmae=photon')).status, 400);
});

t.test('parameters come from the query, a JSON body or a form, or from both', async (t) => {
  const service = await startWithIso(t);
  const asJson = { name: 'j', version: '1', isostore: 'a.iso' };
  const jsonType = { 'content-type': 'application/json; charset=utf-8' };
  t.equal((await put(service, '', { body: JSON.stringify(asJson), headers: jsonType })).status, 202);
  const formType = { 'content-type': 'application/x-www-form-urlencoded' };
  t.equal((await put(service, 'name=f', { body: 'name=f&version=1&isostore=a.iso', headers: formType })).status, 202);
  const twice = await put(service, 'name=g', { body: 'name=x&version=1&isostore=a.iso', headers: formType });
  t.match({ status: twice.status, text: twice.text }, { status: 400, text: /name is given twice/ });
  t.equal((await put(service, 'name=e&version=1&isostore=a.iso', { body: '{}', headers: jsonType })).status, 202);
  const names = json(await ask(service.north, '/images')) as { name: string }[];
  t.same(
    names.map(({ name }) => name),
    ['j', 'f', 'e'],
  );
});

t.test('of several sources the first of isostore, isolocal, isoweb, isoclient is taken', async (t) => {
  const service = await startWithIso(t);
  const local = join(await temporaryFolder(t), 'local.iso');
  await writeFile(local, service.iso);
  const web = `http://127.0.0.1:1/none.iso`;
  const kind = async (version: string, query: string, body?: string) => {
    const answer = await put(service, `name=n&version=${version}&${query}`, body === undefined ? {} : { body });
    return (json(answer) as { source: { kind: string } }).source.kind;
  };
  t.equal(await kind('1', `isoclient=c.iso&isoweb=${web}&isolocal=${local}&isostore=a.iso`, 'not read'), 'isostore');
  t.equal(await kind('2', `isoclient=c.iso&isoweb=${web}&isolocal=${local}`, 'not read'), 'isolocal');
  t.equal(await kind('3', `isoclient=c.iso&isoweb=${web}`, 'not read'), 'isoweb');
});

t.test('an image from a file of the server keeps its path as iso, and links the file into the store', async (t) => {
  const service = await startWithIso(t);
  const folder = await temporaryFolder(t);
  const local = join(folder, 'local.iso');
  await writeFile(local, service.iso);
  const answer = await put(service, `name=centos&version=7.0&isolocal=${local}`, { headers: wait });
  t.match(json(answer), { iso: local, status: 'OK' });
  t.same((await ask(service.south, '/iso/local.iso')).body, service.iso);
  t.match(json(await ask(service.north, '/iso')), [
    { name: 'a.iso' },
    { name: 'local.iso', bytes: service.iso.length },
  ]);

  await writeFile(join(folder, 'a.iso'), smallIso({ other: 'x' }));
  const taken = await put(service, `name=centos&version=8&isolocal=${join(folder, 'a.iso')}`);
  t.equal(taken.status, 409, 'a stored file is never replaced by a link');
  t.same((await ask(service.south, '/iso/a.iso')).body, service.iso);
  const inStore = join(service.folder, 'static/iso/a.iso');
  t.equal((await put(service, `name=centos&version=9&isolocal=${inStore}`)).status, 202, 'as documented');
});

t.test('isolocal takes only what isoLocalDirs allows', async (t) => {
  const folder = t.testdir({ allowed: {}, 'allowed-not': {} });
  const service = await startWithIso(t, { isoLocalDirs: [join(folder, 'allowed')] });
  for (const place of ['allowed', 'allowed-not']) await writeFile(join(folder, place, 'l.iso'), service.iso);
  t.equal((await put(service, `name=a&version=1&isolocal=${folder}/allowed-not/l.iso`)).status, 403);
  t.equal((await put(service, `name=a&version=1&isolocal=${folder}/allowed/../allowed-not/l.iso`)).status, 403);
  t.equal((await put(service, `name=a&version=1&isolocal=${folder}/allowed/l.iso`)).status, 202);
});

t.test('an image from the web goes through downloading iso to OK, and its password is never shown', async (t) => {
  const far = await startWithIso(t);
  const service = await startTestService(t);
  const url = `${far.south.replace('//', '//user:secret@')}/iso/a.iso`;
  const answer = await put(service, `name=w&version=1&isoweb=${encodeURIComponent(url)}`);
  t.equal(answer.status, 202);
  t.match(json(answer), { iso: 'a.iso', status: 'downloading iso' });
  t.equal((await ask(service.south, '/w/1/readme')).text, 'hello', 'a request waits for it');
  const list = await ask(service.north, '/images');
  t.match(json(list), [{ status: 'OK', source: { kind: 'isoweb' } }]);
  t.notMatch(list.text, /secret/);
  t.notMatch(service.log.join(''), /secret/);
});

t.test('an uploaded ISO becomes an image, in words or in JSON', async (t) => {
  const service = await startWithIso(t);
  const words = await put(service, 'name=c&version=1&isoclient=c.iso', { body: service.iso });
  t.equal(words.status, 200);
  t.match(words.text, /^Uploaded 10 %\n[^]*Uploaded 100 %\nUpload finished!\n$/);
  t.equal((await ask(service.south, '/c/1/readme')).text, 'hello');
  const headers = { accept: 'application/json', ...wait };
  const answer = await put(service, 'name=c&version=2&isoclient=d.iso', { body: service.iso, headers });
  t.equal(answer.status, 201);
  t.match(json(answer), { name: 'c', version: '2', iso: 'd.iso', status: 'OK' });
});

t.test('an upload that is no ISO makes no image and leaves the stored file of its name as it was', async (t) => {
  const service = await startWithIso(t);
  const headers = { accept: 'application/json' };
  const refused = await put(service, 'name=c&version=1&isoclient=a.iso', { body: Buffer.alloc(100_000, 1), headers });
  t.equal(refused.status, 422);
  t.match(json(refused), { code: 'NOT_AN_ISO' });
  const cut = await put(service, 'name=c&version=1&isoclient=a.iso', { body: Buffer.alloc(100_000, 1) });
  t.equal(cut.complete, false, 'the connection is cut');
  t.match(cut.text, /Uploaded 100 %\nUpload failed: .*ISO.*\n$/);
  t.same(json(await ask(service.north, '/images')), []);
  t.same((await ask(service.south, '/iso/a.iso')).body, service.iso);
  t.same(await readdir(join(service.folder, 'static/iso/.image-service')), []);
});

t.test('what can be known at once is refused at once', async (t) => {
  const service = await startWithIso(t);
  await put(service, 'name=taken&version=1&isostore=a.iso');
  await writeFile(join(service.folder, 'static/iso/no.iso'), 'x'.repeat(100_000));
  await mkdir(join(service.folder, 'static/iso/folder.iso'));
  const cases: [query: string, status: number, code: string][] = [
    ['name=taken&version=1&isostore=a.iso', 409, 'EXISTS'],
    ['name=n&version=1', 400, 'BAD_REQUEST'],
    ['name=n&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['version=1&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['name=n&version=1&isostore=', 400, 'BAD_REQUEST'],
    ['name=n&version=1&version=2&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['name=..&version=1&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['name=n&version=..&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['name=a%2fb&version=1&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['name=n%0a&version=1&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['name=%20n&version=1&isostore=a.iso', 400, 'BAD_REQUEST'],
    [`name=${'n'.repeat(256)}&version=1&isostore=a.iso`, 400, 'BAD_REQUEST'],
    ['name=iso&version=1&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['name=COMMON&version=1&isostore=a.iso', 400, 'BAD_REQUEST'],
    ['name=n&version=1&isostore=none.iso', 404, 'NOT_FOUND'],
    ['name=n&version=1&isostore=folder.iso', 404, 'NOT_FOUND'],
    ['name=n&version=1&isostore=..%2fx', 400, 'BAD_REQUEST'],
    ['name=n&version=1&isostore=no.iso', 422, 'NOT_AN_ISO'],
    ['name=n&version=1&isolocal=relative.iso', 400, 'BAD_REQUEST'],
    ['name=n&version=1&isolocal=/nowhere/x.iso', 404, 'NOT_FOUND'],
    ['name=n&version=1&isolocal=/dev/null', 400, 'BAD_REQUEST'],
    ['name=n&version=1&isoweb=file:///etc/passwd', 400, 'BAD_REQUEST'],
    ['name=n&version=1&isoweb=http://127.0.0.1/', 400, 'BAD_REQUEST'],
    ['name=n&version=1&isoclient=.x', 400, 'BAD_REQUEST'],
  ];
  for (const [query, status, code] of cases) {
    const answer = await put(service, query, query.includes('isoclient') ? { body: 'x' } : {});
    t.match({ status: answer.status, ...(json(answer) as object) }, { status, code }, query);
  }
  t.equal((json(await ask(service.north, '/images')) as unknown[]).length, 1);
});

t.test('any other name and version is welcome', async (t) => {
  const service = await startWithIso(t);
  for (const [name, version] of [
    ['ESXi', '6.5'],
    ['ubuntu', '14.04-EMC-Ted-test'],
    ['日本 語', '½ & more?#%'],
    ['.hidden', '...'],
    ['$(reboot)', '`;|&'],
  ] as const) {
    const query = `name=${encodeURIComponent(name)}&version=${encodeURIComponent(version)}&isostore=a.iso`;
    t.equal((await put(service, query)).status, 202, name);
    const path = `/${encodeURIComponent(name)}/${encodeURIComponent(version)}/readme`;
    t.equal((await ask(service.south, path)).text, 'hello', path);
  }
});

t.test('of two who add the same image at once exactly one wins', async (t) => {
  const service = await startWithIso(t);
  const query = 'name=n&version=1&isostore=a.iso';
  const answers = await Promise.all(Array.from({ length: 8 }, () => put(service, query)));
  t.same(answers.map(({ status }) => status).sort(), [202, ...Array<number>(7).fill(409)]);
  t.match(answers.find(({ status }) => status === 409)?.text, /Image already exists/);
});

t.test('DELETE takes away exactly the image that it names, and the ISO stays', async (t) => {
  const service = await startWithIso(t);
  const records: Record[] = [];
  for (const version of ['1', '2', '3']) {
    records.push(json(await put(service, `name=n&version=${version}&isostore=a.iso`, { headers: wait })) as Record);
  }
  const remove = (query: string, options: Ask = {}) =>
    ask(service.north, `/images${query}`, { method: 'DELETE', ...options });
  const jsonType = { 'content-type': 'application/json' };
  for (const query of [
    '',
    '?',
    '?name=n',
    '?version=1',
    '?nmae=n&version=1',
    '?name=n&version=1&x=y',
    '?name=n&name=n',
  ]) {
    t.equal((await remove(query)).status, 400, `${query} deletes nothing`);
  }
  t.equal((await remove('?name=n&version=9')).status, 404);
  t.equal((await remove('?name=n&version=1&id=other')).status, 404);
  t.equal((json(await ask(service.north, '/images')) as unknown[]).length, 3);
  t.equal((await ask(service.north, '/iso?name=a.iso', { method: 'DELETE' })).status, 409, 'in use');

  const deleted = await remove('?name=n&version=1', { body: '[]', headers: jsonType });
  t.equal(deleted.status, 200);
  t.match(json(deleted), { ...records[0], status: 'OK' });
  t.equal((await ask(service.south, '/n/1/readme')).status, 404);
  t.equal((await ask(service.south, '/n/1/')).status, 404);
  t.equal((await ask(service.south, '/n/2/readme')).status, 200);
  t.equal((await remove(`?id=${records[1]?.id ?? ''}`)).status, 200);
  t.equal((await remove('', { body: '{"name": "n", "version": "3"}', headers: jsonType })).status, 200);
  t.same(json(await ask(service.north, '/images')), []);
  t.equal((await ask(service.south, '/n/')).status, 404);
  t.equal((await ask(service.north, '/iso?name=a.iso', { method: 'DELETE' })).status, 200);
});

t.test('replacing an ISO shows its new files, or leaves the image as it was and says why', async (t) => {
  const service = await startWithIso(t);
  await put(service, 'name=n&version=1&isostore=a.iso', { headers: wait });
  const replace = (body: Buffer) => ask(service.north, '/iso?name=a.iso', { method: 'PUT', body });
  await replace(smallIso({ readme: 'newer' }));
  t.equal((await ask(service.south, '/n/1/readme')).text, 'newer');
  await replace(Buffer.alloc(100_000));
  t.equal((await ask(service.south, '/n/1/readme')).text, 'newer');
  t.match(json(await ask(service.north, '/images')), [{ status: 'OK', error: /replaced/ }]);
});

t.test('an upload whose client prefers to wait is told by its status whether the image is OK', async (t) => {
  const service = await startWithIso(t);
  const headers = { accept: 'application/json', prefer: 'wait=5' };
  const whole = await put(service, 'name=c&version=1&isoclient=whole.iso', { body: service.iso, headers });
  t.match(whole, { status: 201, headers: { 'preference-applied': 'wait=5' } });
  t.match(json(whole), { name: 'c', version: '1', iso: 'whole.iso', status: 'OK' });

  // Its descriptors say that it is an ISO; the files that its root names lie behind its end.
  const cut = service.iso.subarray(0, 50 * 2048);
  const failed = await put(service, 'name=c&version=2&isoclient=cut.iso', { body: cut, headers });
  t.match(failed, { status: 202, headers: { 'preference-applied': 'wait=5' } });
  t.match(json(failed), { name: 'c', version: '2', status: 'failed', error: /./ });
  t.equal((await ask(service.south, '/c/2/readme')).status, 404);
});

t.test('an ISO is deleted or an image is made from it, never both', async (t) => {
  const service = await startWithIso(t);
  const { north, south, folder, iso } = service;
  for (let round = 0; round < 100; round++) {
    await writeFile(join(folder, 'static/iso/r.iso'), iso);
    const remove = () => ask(north, '/iso?name=r.iso', { method: 'DELETE' });
    const add = () => put(service, 'name=r&version=1&isostore=r.iso');
    const [removed, added] =
      round % 2 === 0
        ? await Promise.all([remove(), add()])
        : await Promise.all([add(), remove()]).then(([added, removed]) => [removed, added] as const);
    const outcome = `DELETE ${removed.status}, PUT ${added.status}`;
    t.ok([200, 409].includes(removed.status), outcome);
    t.ok([202, 404, 409].includes(added.status), outcome);
    t.not(removed.status === 200, added.status === 202, `one of them, and not both: ${outcome}`);
    if (added.status !== 202) continue;
    t.equal((await ask(south, '/r/1/readme')).text, 'hello');
    t.equal((await ask(north, '/images?name=r&version=1', { method: 'DELETE' })).status, 200);
  }
});

t.test('a download that is larger than the disk fails before its bytes are read', async (t) => {
  const service = await startWithIso(t);
  const far = await farEnd(t, (_, response) => {
    response.writeHead(200, { 'Content-Length': 2 ** 50 });
    // It never ends: an image that is failed did not wait for it.
    response.write(service.iso);
  });
  t.equal((await put(service, `name=w&version=1&isoweb=${far.url}/huge.iso`)).status, 202);
  t.match(await settledImage(service.north, 'w'), { status: 'failed', error: /no room for 1125899906842624 bytes/ });
  t.same(await readdir(join(service.folder, 'static/iso/.image-service')), []);
});

t.test('an ISO that is replaced in the store is shown by the image that was made from its path', async (t) => {
  const service = await startWithIso(t);
  const path = join(service.folder, 'static/iso/a.iso');
  t.equal((await put(service, `name=n&version=1&isolocal=${path}`, { headers: wait })).status, 201);
  t.equal((await ask(service.north, '/iso?name=a.iso', { method: 'DELETE' })).status, 409, 'in use');
  await ask(service.north, '/iso?name=a.iso', { method: 'PUT', body: smallIso({ readme: 'newer' }) });
  t.equal((await ask(service.south, '/n/1/readme')).text, 'newer');
});

t.test('an upload over the link to a file of the server leaves that file and its image alone', async (t) => {
  const service = await startWithIso(t);
  const { north, south, iso } = service;
  const local = join(await temporaryFolder(t), 'local.iso');
  await writeFile(local, iso);
  await put(service, `name=n&version=1&isolocal=${local}`, { headers: wait });
  const before = json(await ask(north, '/images'));
  t.equal((await ask(north, '/iso?name=local.iso', { method: 'DELETE' })).status, 409, 'the link is in use');
  const other = smallIso({ readme: 'other' });
  t.equal((await ask(north, '/iso?name=local.iso', { method: 'PUT', body: other })).status, 200);
  t.same((await ask(south, '/iso/local.iso')).body, other);
  t.equal((await ask(south, '/n/1/readme')).text, 'hello');
  t.same(json(await ask(north, '/images')), before);
  t.equal((await ask(north, '/iso?name=local.iso', { method: 'DELETE' })).status, 200);
  t.equal((await ask(south, '/n/1/readme')).text, 'hello');
  t.same(await readFile(local), iso);
});

t.test('the password of a download is never in the log, however the download ends', async (t) => {
  const service = await startWithIso(t);
  const { north, log } = service;
  const far = await farEnd(t, (request, response) => {
    if (request.url === '/moved.iso') response.writeHead(302, { Location: '/cut.iso' }).end();
    else if (request.url === '/cut.iso') response.write(service.iso, () => response.destroy());
    else response.writeHead(404).end();
  });
  const withPassword = (path: string) => encodeURIComponent(`${far.url.replace('//', '//user:s3cret@')}${path}`);
  for (const path of ['/missing.iso', '/moved.iso', '/cut.iso']) {
    const name = path.slice(1);
    t.equal((await put(service, `name=${name}&version=1&isoweb=${withPassword(path)}`)).status, 202);
    t.match(await settledImage(north, name), { status: 'failed' }, path);
  }
  const refused = ['/', '/..', '/%zz', '/a%2Fb'].map(withPassword);
  refused.push('gopher%3A%2F%2Fuser%3As3cret%40h%2Fa.iso', 'http%3Auser%3As3cret%40h', '%2F%2Fuser%3As3cret%40h%2Fx');
  for (const url of refused) {
    const answer = await put(service, `name=bad&version=1&isoweb=${url}`);
    t.equal(answer.status, 400, url);
    t.notMatch(answer.text, /s3cret/);
  }
  const body = `name=form&version=1&isoweb=${withPassword('/missing.iso')}`;
  await put(service, '', { body, headers: { 'content-type': 'application/x-www-form-urlencoded' } });
  await settledImage(north, 'form');
  const again = await service.restart();
  await ask(again.north, '/images?name=form&version=1', { method: 'DELETE' });
  const lines = [...log, ...again.log];
  t.ok(lines.some((line) => line.includes('PUT /images')) && lines.some((line) => line.includes('missing.iso')));
  t.same(
    lines.filter((line) => line.includes('s3cret')),
    [],
  );
});

t.test('view chooses the tree of the disc, for an ISO from any source, and is remembered', async (t) => {
  const service = await startWithIso(t);
  const stored = json(await put(service, 'name=a&version=1&isostore=a.iso&view=iso9660', { headers: wait })) as Record;
  t.match(stored, { status: 'OK', view: 'iso9660', driver: 'direct', source: { view: 'iso9660' } });
  t.equal((await ask(service.south, '/a/1/readme')).status, 404);
  t.equal((await ask(service.south, '/a/1/f0')).text, 'hello');
  await put(service, 'name=b&version=1&isoclient=b.iso&view=iso9660', { body: service.iso, headers: wait });
  t.equal((await ask(service.south, '/b/1/f0')).text, 'hello');
  const later = await service.restart();
  t.equal((await ask(later.south, '/a/1/f0')).text, 'hello');
  t.equal((await ask(later.south, '/b/1/f0')).text, 'hello');
});

t.test('a view that does not exist is refused, and one that the disc has not makes the image fail', async (t) => {
  const service = await startWithIso(t);
  const wrong = await put(service, 'name=a&version=1&isostore=a.iso&view=hfs');
  t.equal(wrong.status, 400);
  t.match(json(wrong), { message: 'view must be one of auto, udf, rockridge, joliet, iso9660' });
  t.same(json(await ask(service.north, '/images')), []);
  const missing = json(await put(service, 'name=a&version=1&isostore=a.iso&view=joliet', { headers: wait })) as Record;
  t.match(missing, { status: 'failed', error: 'The ISO has no view "joliet"; it has rockridge, iso9660' });
});
