import { randomBytes } from 'node:crypto';
import { mkdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Answer, ask, json, talk } from '../fixtures/client.js';
import { farEnd } from '../fixtures/download-server.js';
import { smallIso } from '../fixtures/small-iso.js';
import { everythingBelow, fileOf, settledImage, sha256 } from '../fixtures/e2e-tools.js';
import { beginUpload, writePart } from '../fixtures/e2e-upload.js';
import { startProcess } from '../fixtures/process.js';
import type { TestProcess } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';

const iso = smallIso({ kernel: 'Linux' });
const other = smallIso({ kernel: 'other', more: randomBytes(100_000) });

type Send = (path: string, body?: Buffer | string, headers?: Record<string, string>) => Promise<Answer>;

interface Running extends TestProcess {
  readonly folder: string;
  readonly store: string;
  readonly put: Send;
  readonly remove: Send;
}

/** A service with `good.iso` in its store. */
async function running(t: Test): Promise<Running> {
  const folder = await temporaryFolder(t);
  const service = await startProcess(t, folder);
  const put: Send = (path, body = '', headers = {}) => ask(service.north, path, { method: 'PUT', body, headers });
  const remove: Send = (path, body = '', headers = {}) => ask(service.north, path, { method: 'DELETE', body, headers });
  await put('/iso?name=good.iso', iso);
  return { ...service, folder, store: join(folder, 'static/iso'), put, remove };
}

/** What a shell would run in many a place: each of these would leave the file `ran` behind. */
const shellNames = [
  '$(touch ran)',
  '`touch ran`',
  ';touch ran',
  '|touch ran',
  '&& touch ran',
  "';touch ran;'",
  '";touch ran;"',
  '-rf',
  '--help',
  '%n$(touch ran)',
  '*',
  '~',
  '#',
  '$HOME',
];

t.test('what a shell would run is a name like any other', async (t) => {
  const { folder, south, put, remove, north } = await running(t);
  const before = process.cwd();
  for (const name of shellNames) {
    const shown = encodeURIComponent(name);
    const added = await put(`/images?name=${shown}&version=${shown}&isostore=good.iso`);
    t.equal(added.status, 202, name);
    t.match(await settledImage(north, name), { name, version: name, status: 'OK' });
    t.equal((await ask(south, `/${shown}/${shown}/kernel`)).text, 'Linux', name);
    t.match(json(await remove(`/images?name=${shown}&version=${shown}`)), { name });
    t.equal((await put(`/iso?name=${shown}`, 'bytes')).status, 200, name);
    t.equal((await ask(south, `/iso/${shown}`)).text, 'bytes', name);
    t.equal((await remove(`/iso?name=${shown}`)).status, 200, name);
  }
  const ran = (await everythingBelow(folder)).filter((path) => path.endsWith('ran'));
  t.same(ran, [], 'nothing has run');
  await t.rejects(stat(join(before, 'ran')), { code: 'ENOENT' });
});

t.test('what a shell would run in a URL or a path is not run either', async (t) => {
  const far = await farEnd(t, (request, response) => {
    response.end(request.url?.includes('touch') ? iso : 'no');
  });
  const { folder, put, north, south } = await running(t);
  const url = encodeURIComponent(`${far.url}/;touch ran;$(touch ran)\`touch ran\`/x;touch.iso`);
  t.equal((await put(`/images?name=web&version=1&isoweb=${url}`)).status, 202);
  t.match(await settledImage(north, 'web'), { status: 'OK', iso: 'x;touch.iso' });
  t.equal((await ask(south, '/web/1/kernel')).text, 'Linux');
  const path = await fileOf(folder, '$(touch ran);`touch ran`.iso', iso);
  t.equal((await put(`/images?name=local&version=1&isolocal=${encodeURIComponent(path)}`)).status, 202);
  t.match(await settledImage(north, 'local'), { status: 'OK', iso: path });
  for (const bad of ['$(touch ran)', 'http://;touch ran/x.iso', 'file:///etc/passwd', '-o ran http://a/x.iso']) {
    t.equal((await put(`/images?name=bad&version=1&isoweb=${encodeURIComponent(bad)}`)).status, 400, bad);
  }
  t.same(
    (await everythingBelow(folder)).filter((name) => /(^|\/)ran$/.test(name)),
    [],
  );
});

t.test('no name leads out of the store', async (t) => {
  const { folder, put, remove, north, store } = await running(t);
  await fileOf(folder, 'victim', 'untouched');
  await fileOf(join(folder, 'static'), 'victim', 'untouched');
  for (const name of ['../victim', '../../victim', '..', '.', 'a/b', 'a\\b', '/victim', join(folder, 'victim')]) {
    for (const path of [`/iso?name=${encodeURIComponent(name)}`, `/microkernel?name=${encodeURIComponent(name)}`]) {
      t.match(json(await put(path, 'changed')), { code: 'BAD_REQUEST' }, `PUT ${path}`);
      t.match(json(await remove(path)), { code: 'BAD_REQUEST' }, `DELETE ${path}`);
    }
    const image = `/images?name=a&version=1&isoclient=${encodeURIComponent(name)}`;
    t.match(json(await put(image, iso)), { code: 'BAD_REQUEST' }, `PUT ${image}`);
    const stored = `/images?name=a&version=1&isostore=${encodeURIComponent(name)}`;
    t.match(json(await put(stored)), { code: 'BAD_REQUEST' }, `PUT ${stored}`);
  }
  t.equal(await readFile(join(folder, 'victim'), 'utf8'), 'untouched');
  t.equal(await readFile(join(folder, 'static/victim'), 'utf8'), 'untouched');
  t.same(json(await ask(north, '/images')), []);
  t.same(
    (await everythingBelow(store)).filter((path) => !path.startsWith('.image-service')),
    ['good.iso'],
  );
});

t.test('name and version are one path segment each', async (t) => {
  const { put, north, south } = await running(t);
  for (const wrong of ['..', '.', 'a/b', '../..', ' a', 'a ', 'a\nb', '\0', 'ä'.repeat(128)]) {
    const shown = encodeURIComponent(wrong);
    t.equal((await put(`/images?name=${shown}&version=1&isostore=good.iso`)).status, 400, JSON.stringify(wrong));
    t.equal((await put(`/images?name=a&version=${shown}&isostore=good.iso`)).status, 400, JSON.stringify(wrong));
    t.equal((await put(`/images?name=a&version=${shown}&isoclient=x.iso`, iso)).status, 400, JSON.stringify(wrong));
  }
  for (const reserved of ['iso', 'common', 'ISO', 'images', 'microkernel']) {
    t.equal((await put(`/images?name=${reserved}&version=1&isostore=good.iso`)).status, 400, reserved);
  }
  t.same(json(await ask(north, '/images')), []);
  t.equal((await ask(south, '/iso/x.iso')).status, 404);
  const longest = 'ä'.repeat(127);
  const encoded = encodeURIComponent(longest);
  t.equal((await put(`/images?name=${encoded}&version=14.04-EMC-Ted-test&isostore=good.iso`)).status, 202);
  t.match(await settledImage(north, longest), { status: 'OK' });
  t.equal((await ask(south, `/${encoded}/14.04-EMC-Ted-test/kernel`)).text, 'Linux');
});

t.test('a name that is too long for the disk is refused, not an internal error', async (t) => {
  const { put, remove } = await running(t);
  t.equal((await put(`/iso?name=${'a'.repeat(256)}`, 'bytes')).status, 400);
  t.equal((await put(`/iso?name=${'a'.repeat(255)}`, 'bytes')).status, 200);
  t.equal((await remove(`/iso?name=${'a'.repeat(255)}`)).status, 200);
});

t.test('a folder in the store is no file', async (t) => {
  const { put, remove, north, store } = await running(t);
  await mkdir(join(store, 'folder.iso/inside'), { recursive: true });
  t.match(json(await put('/iso?name=folder.iso', 'bytes')), { code: 'EXISTS' });
  t.match(json(await put('/images?name=a&version=1&isoclient=folder.iso', iso)), { code: 'EXISTS' });
  t.match(json(await put('/images?name=a&version=1&isostore=folder.iso')), { code: 'NOT_FOUND' });
  t.match(json(await remove('/iso?name=folder.iso')), { code: 'NOT_FOUND' });
  t.match(json(await ask(north, '/iso')), [{ name: 'good.iso' }]);
  t.ok((await stat(join(store, 'folder.iso/inside'))).isDirectory());
});

t.test('a link in the store that leads nowhere breaks neither the list nor anything else', async (t) => {
  const { put, remove, north, south, store } = await running(t);
  await symlink('/nowhere/at/all.iso', join(store, 'dangling.iso'));
  t.match(json(await ask(north, '/iso')), [{ name: 'good.iso' }]);
  t.equal((await ask(south, '/iso/')).status, 200);
  t.equal((await ask(south, '/iso/dangling.iso')).status, 404);
  t.match(json(await put('/images?name=a&version=1&isostore=dangling.iso')), { code: 'NOT_FOUND' });
  t.equal((await remove('/iso?name=dangling.iso')).status, 200, 'it can be removed');
  t.same((await everythingBelow(store)).includes('dangling.iso'), false);
});

t.test(
  'a store folder that vanishes under the service is an error, not its end, and uploads bring it back',
  async (t) => {
    const { put, north, south, store, child } = await running(t);
    await rm(store, { recursive: true });
    for (const path of ['/iso', '/images']) t.ok((await ask(north, path)).status >= 200, path);
    t.equal((await ask(south, '/iso/good.iso')).status, 404);
    t.match(json(await put('/images?name=a&version=1&isostore=good.iso')), { code: 'NOT_FOUND' });
    t.equal((await put('/iso?name=new.iso', iso)).status, 200);
    t.match(json(await ask(north, '/iso')), [{ name: 'new.iso' }]);
    t.equal(child.exitCode, null, 'it still runs');
  },
);

t.test('DELETE with a misspelt or missing filter deletes nothing', async (t) => {
  const { put, remove, north } = await running(t);
  for (const version of ['1', '2']) await put(`/images?name=a&version=${version}&isostore=good.iso`);
  for (const query of [
    '',
    '?nmae=a&version=1',
    '?name=a',
    '?version=1',
    '?name=a&version=',
    '?name=a&name=a&version=1',
  ]) {
    t.equal((await remove(`/images${query}`)).status, 400, query);
  }
  t.equal((await remove('/images?name=a&version=1&force=true')).status, 400);
  t.equal((await remove('/images?name=A&version=1')).status, 404, 'a name of another case is another name');
  t.equal((await remove('/images?id=')).status, 400);
  t.equal((await remove('/iso')).status, 400);
  t.equal((await remove('/iso?nmae=good.iso')).status, 400);
  t.match(json(await ask(north, '/images')), [{ version: '1' }, { version: '2' }]);
  t.match(json(await ask(north, '/iso')), [{ name: 'good.iso' }]);
});

t.test('an ISO that an image needs is not deleted', async (t) => {
  const { put, remove, south } = await running(t);
  await put('/images?name=a&version=1&isostore=good.iso');
  const refused = await remove('/iso?name=good.iso');
  t.equal(refused.status, 409);
  t.match(json(refused), { code: 'IN_USE', message: /a 1/ });
  t.equal((await ask(south, '/a/1/kernel')).text, 'Linux');
  await remove('/images?name=a&version=1');
  t.equal((await ask(south, '/a/1/kernel')).status, 404, 'gone as soon as DELETE has answered');
  t.equal((await remove('/iso?name=good.iso')).status, 200);
});

t.test('parameters in JSON are read with any charset, and with what test clients send beside the query', async (t) => {
  const { put, remove, north } = await running(t);
  const body = JSON.stringify({ name: 'a', version: '1', isostore: 'good.iso' });
  const charset = { 'Content-Type': 'application/json; charset=utf-8' };
  t.equal((await put('/images', body, charset)).status, 202);
  t.equal((await put('/images?name=b&version=1&isostore=good.iso', '{}', charset)).status, 202);
  t.equal((await remove('/images?name=b&version=1', '[]', { 'Content-Type': 'application/json' })).status, 200);
  t.equal((await remove('/images?name=b&version=1', '', { 'Content-Type': 'application/json' })).status, 404);
  for (const wrong of ['{', '[1]', '"a"', '{"name": 1, "version": "1", "isostore": "good.iso"}', 'null']) {
    t.equal((await put('/images', wrong, charset)).status, 400, wrong);
  }
  t.match(json(await ask(north, '/images')), [{ name: 'a' }]);
});

t.test('a JSON body on an upload route is a file, and does not hang', async (t) => {
  const { put, south } = await running(t);
  const type = { 'Content-Type': 'application/json' };
  const answer = await put('/iso?name=j.iso', '{"name": "j.iso"}', type);
  t.match(answer, { status: 200, text: /Upload finished!/, complete: true });
  t.equal((await ask(south, '/iso/j.iso')).text, '{"name": "j.iso"}');
  const image = await put('/images?name=j&version=1&isoclient=j2.iso', '{}', type);
  t.match(image, { status: 200, text: /Upload failed: The file is not an ISO/, complete: false });
});

t.test('one port for both routers serves uploads and files', async (t) => {
  const folder = await temporaryFolder(t);
  const endpoint = { address: '127.0.0.1', port: 0, routers: ['southbound', 'northbound'] };
  const { north, south } = await startProcess(t, folder, { httpEndpoints: [endpoint] });
  t.equal(north, south);
  t.equal((await ask(north, '/iso?name=a.iso', { method: 'PUT', body: iso })).status, 200);
  await ask(north, '/images?name=a&version=1&isostore=a.iso', { method: 'PUT' });
  t.match(await settledImage(north, 'a'), { status: 'OK' });
  t.equal((await ask(north, '/a/1/kernel')).text, 'Linux');
  t.ok((await ask(north, '/iso/a.iso')).body.equals(iso));
  t.match(json(await ask(north, '/iso')), [{ name: 'a.iso' }]);
});

t.test('of two uploads of one name, one is told 409, and the bytes are all of the other', async (t) => {
  const { north, south, put } = await running(t);
  const [one, two] = [randomBytes(300_000), randomBytes(300_000)];
  const first = beginUpload(north, '/iso?name=both.iso', one.length);
  await writePart(first, one.subarray(0, 100_000));
  while ((await put('/iso?name=both.iso', two)).status !== 409) t.pass('the first one is not there yet');
  first.request.end(one.subarray(100_000));
  t.match(await first.ended, { status: 200, text: /Upload finished!/ });
  t.ok((await ask(south, '/iso/both.iso')).body.equals(one));
  const many = await Promise.all(Array.from({ length: 8 }, () => put('/images?name=n&version=1&isoclient=n.iso', iso)));
  const statuses = many.map(({ status }) => status).sort();
  t.same(statuses, [200, 409, 409, 409, 409, 409, 409, 409]);
});

t.test('two downloads or links to one name and version: exactly one wins', async (t) => {
  const { put, north } = await running(t);
  const answers = await Promise.all(
    Array.from({ length: 10 }, () => put('/images?name=n&version=1&isostore=good.iso')),
  );
  t.equal(answers.filter(({ status }) => status === 202).length, 1);
  t.equal(answers.filter(({ status }) => status === 409).length, 9);
  t.equal((json(await ask(north, '/images')) as unknown[]).length, 1);
});

t.test('a failed download leaves a good ISO of the same name as it was', async (t) => {
  const { put, north, south, store } = await running(t);
  const far = await farEnd(t, (request, response) => {
    if (request.url === '/missing/good.iso') response.writeHead(404).end();
    else if (request.url === '/html/good.iso') response.end('<html>Log in first</html>');
    else {
      response.writeHead(200, { 'Content-Length': other.length });
      response.write(other.subarray(0, 90_000), () => response.destroy());
    }
  });
  for (const way of ['missing', 'html', 'cut']) {
    t.equal((await put(`/images?name=${way}&version=1&isoweb=${far.url}/${way}/good.iso`)).status, 202);
    t.match(await settledImage(north, way), { status: 'failed', error: /./ }, way);
    t.equal((await ask(south, `/${way}/1/kernel`)).status, 404);
    t.ok((await ask(south, '/iso/good.iso')).body.equals(iso), way);
  }
  t.same(
    (await everythingBelow(store)).filter((path) => path.endsWith('.part')),
    [],
  );
});

t.test('a refused upload leaves a good ISO of the same name as it was', async (t) => {
  const { put, south } = await running(t);
  const text = (await put('/images?name=n&version=1&isoclient=good.iso', randomBytes(500_000))).text;
  t.match(text, /Upload failed: The file is not an ISO/);
  t.ok((await ask(south, '/iso/good.iso')).body.equals(iso));
});

t.test('isolocal never replaces a stored ISO, and never a link to another one', async (t) => {
  const { put, north, south, folder } = await running(t);
  await mkdir(join(folder, 'elsewhere'));
  const path = await fileOf(join(folder, 'elsewhere'), 'good.iso', other);
  t.match(json(await put(`/images?name=n&version=1&isolocal=${encodeURIComponent(path)}`)), { code: 'EXISTS' });
  t.ok((await ask(south, '/iso/good.iso')).body.equals(iso));
  t.same(json(await ask(north, '/images')), []);
  const free = await fileOf(join(folder, 'elsewhere'), 'free.iso', other);
  t.equal((await put(`/images?name=n&version=1&isolocal=${encodeURIComponent(free)}`)).status, 202);
  await mkdir(join(folder, 'third'));
  const third = await fileOf(join(folder, 'third'), 'free.iso', iso);
  t.match(json(await put(`/images?name=n&version=2&isolocal=${encodeURIComponent(third)}`)), { code: 'EXISTS' });
  t.equal(sha256((await ask(south, '/iso/free.iso')).body), sha256(other));
});

t.test('what isolocal is not: a folder, a device, a missing file, a file that is no ISO', async (t) => {
  const { put, folder, north } = await running(t);
  const noise = await fileOf(folder, 'noise.iso', randomBytes(200_000));
  const secret = await fileOf(folder, 'inventory.json', '{"images": []}');
  for (const path of [
    folder,
    '/dev/zero',
    '/dev/stdin',
    join(folder, 'missing.iso'),
    noise,
    secret,
    'relative.iso',
    '/',
  ]) {
    const { status } = await put(`/images?name=n&version=1&isolocal=${encodeURIComponent(path)}`);
    t.ok(status >= 400 && status < 500, `${path}: ${status}`);
  }
  t.same(json(await ask(north, '/images')), []);
});

t.test('a stored ISO that breaks under its image is failed with a reason, and the record stays', async (t) => {
  const service = await running(t);
  const { put, north, folder, store } = service;
  await put('/images?name=a&version=1&isostore=good.iso');
  await settledImage(north, 'a');
  await service.end('SIGTERM');
  await writeFile(join(store, 'good.iso'), 'no longer an ISO');
  const again = await startProcess(t, folder);
  t.match(json(await ask(again.north, '/images')), [{ name: 'a', status: 'failed', error: /ISO/ }]);
  t.equal((await ask(again.south, '/a/1/kernel')).status, 404);
});

t.test('no answer tells a host path or a stack trace', async (t) => {
  const { north, south, folder, store } = await running(t);
  await rm(store, { recursive: true });
  await writeFile(store, 'a file where the store was');
  const requests: [string, string, string][] = [
    [north, 'GET', '/iso'],
    [north, 'PUT', '/iso?name=a.iso'],
    [north, 'PUT', '/images?name=a&version=1&isostore=a.iso'],
    [north, 'DELETE', '/iso?name=a.iso'],
    [south, 'GET', '/iso/a.iso'],
    [south, 'GET', '/iso/'],
  ];
  for (const [base, method, path] of requests) {
    const { text, status } = await ask(base, path, { method, ...(method === 'PUT' && { body: 'bytes' }) });
    t.ok(status >= 400, `${method} ${path}: ${status}`);
    t.notMatch(text, folder);
    t.notMatch(text, /\bat .*:\d+:\d+/);
    t.match(JSON.parse(text), { message: /./, code: /./ });
  }
});

t.test('a request that is no HTTP ends in 400, and the service goes on', async (t) => {
  const { north, south } = await running(t);
  for (const base of [north, south]) {
    t.match(await talk(base, 'nonsense\r\n\r\n'), /^HTTP\/1\.1 400 /);
    t.match(await talk(base, 'GET /%zz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 400 /);
  }
  t.equal((await ask(north, '/images')).status, 200);
});
