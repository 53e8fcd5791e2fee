import { readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import t from 'tap';
import { fileRecord } from '../../lib/northbound/files.js';
import { ask, json, talk } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

const documented = [10, 20, 30, 40, 50, 60, 70, 80, 90, 100].map((percent) => `Uploaded ${percent} %\n`).join('');

t.test('the record of a file has the documented members, for ISOs also the documented `upload`', (t) => {
  const modified = new Date('2016-10-18T18:02:50.769Z');
  const file = { name: 'centos-7.0.iso', bytes: 4_148_000_000, modified, sha256: undefined };
  t.same(JSON.parse(JSON.stringify(fileRecord(file, true))), {
    name: 'centos-7.0.iso',
    size: '4.15 GB',
    upload: '2016-10-18T18:02:50.769Z',
    uploaded: '2016-10-18T18:02:50.769Z',
    bytes: 4_148_000_000,
  });
  t.notOk('upload' in fileRecord(file, false));
  t.end();
});

for (const [route, place] of [
  ['/iso', 'iso'],
  ['/microkernel', 'common'],
] as const) {
  t.test(`${route}: what is uploaded is listed, served, replaced and deleted`, async (t) => {
    const { north, south, folder } = await startTestService(t);
    t.same(json(await ask(north, route)), []);

    const first = Buffer.alloc(1000, 'a');
    const put = await ask(north, `${route}?name=a.bin`, { method: 'PUT', body: first });
    t.equal(put.status, 200);
    t.match(put.headers['content-type'], /^text\/plain/);
    t.equal(put.text, `${documented}Upload finished!\n`);

    const [listed] = json(await ask(north, route)) as [Record<string, unknown>];
    t.match(listed, { name: 'a.bin', size: '1.00 KB', bytes: 1000 });
    t.equal(listed['sha256'], createHash('sha256').update(first).digest('hex'));
    t.same((await ask(south, `/${place}/a.bin`)).body, first);

    const second = Buffer.alloc(17, 'b');
    const headers = { accept: 'application/json' };
    const replaced = await ask(north, `${route}?name=a.bin`, { method: 'PUT', body: second, headers });
    t.equal(replaced.status, 200);
    t.match(json(replaced), { name: 'a.bin', size: '17 Byte', bytes: 17 });
    t.same((await ask(south, `/${place}/a.bin`)).body, second);

    const created = await ask(north, `${route}?name=b.bin`, { method: 'PUT', body: second, headers });
    t.equal(created.status, 201);

    const deleted = await ask(north, `${route}?name=a.bin`, { method: 'DELETE' });
    t.equal(deleted.status, 200);
    t.match(json(deleted), { name: 'a.bin', bytes: 17 });
    t.equal((await ask(south, `/${place}/a.bin`)).status, 404);
    t.equal((await ask(north, `${route}?name=a.bin`, { method: 'DELETE' })).status, 404);
    t.same((await readdir(join(folder, 'static', place))).sort(), ['.image-service', 'b.bin']);
  });
}

t.test('a body is a file whatever its Content-Type says', async (t) => {
  const { north, south } = await startTestService(t);
  for (const type of ['application/x-www-form-urlencoded', 'application/json', 'text/html']) {
    const body = '{"name": "other", "a=b&c": [';
    const headers = { 'content-type': type, accept: 'application/json' };
    t.equal((await ask(north, '/iso?name=x.iso', { method: 'PUT', body, headers })).status < 300, true, type);
    t.equal((await ask(south, '/iso/x.iso')).text, body, type);
  }
});

t.test("a browser's form uploads a file, by PUT or POST, its name in the query or before the file", async (t) => {
  const { north, south } = await startTestService(t);
  const part = (head: string, text: string) => `--xyz\r\nContent-Disposition: form-data; ${head}\r\n\r\n${text}\r\n`;
  const file = part('name="file"; filename="local name.iso"', 'the bytes');
  const headers = { 'content-type': 'multipart/form-data; boundary=xyz' };
  const send = (path: string, method: string, body: string) => ask(north, path, { method, body, headers });

  const inQuery = await send('/iso?name=q.iso', 'PUT', `${file}--xyz--\r\n`);
  t.equal(inQuery.text, 'Upload finished!\n');
  t.equal((await ask(south, '/iso/q.iso')).text, 'the bytes');
  t.equal((await send('/iso', 'POST', `${part('name="name"', 'f.iso')}${file}--xyz--\r\n`)).status, 200);
  t.equal((await ask(south, '/iso/f.iso')).text, 'the bytes');

  t.match(json(await send('/iso', 'POST', `${file}--xyz--\r\n`)), { message: 'name is missing' });
  t.equal((await send('/iso?name=n.iso', 'POST', `${part('name="name"', 'n.iso')}--xyz--\r\n`)).status, 400);
  t.equal((await send('/iso?name=n.iso', 'POST', file)).status, 400, 'a form that ends early');
  t.same(
    (json(await ask(north, '/iso')) as { name: string }[]).map(({ name }) => name),
    ['f.iso', 'q.iso'],
  );
});

t.test('bad input on an upload changes nothing and is told by its status', async (t) => {
  const { north, folder } = await startTestService(t);
  await writeFile(join(folder, 'static/iso/keep.iso'), 'good');
  const cases: [path: string, headers: Record<string, string>, body: string, status: number][] = [
    ['/iso', {}, 'x', 400],
    ['/iso?name=', {}, 'x', 400],
    ['/iso?name=a&name=b', {}, 'x', 400],
    ['/iso?name=keep.iso&other=1', {}, 'x', 400],
    ['/iso?name=..%2f..%2fx', {}, 'x', 400],
    ['/iso?name=..', {}, 'x', 400],
    ['/iso?name=.hidden', {}, 'x', 400],
    ['/iso?name=a%00b', {}, 'x', 400],
    [`/iso?name=${'a'.repeat(256)}`, {}, 'x', 400],
    ['/iso?name=keep.iso', { 'content-range': 'bytes 1-1/4' }, 'x', 400],
    ['/iso?name=keep.iso', { 'content-encoding': 'gzip' }, 'x', 415],
    ['/iso?name=keep.iso', { 'content-length': '0' }, '', 400],
  ];
  for (const [path, headers, body, status] of cases) {
    const answer = await ask(north, path, { method: 'PUT', headers, body });
    t.equal(answer.status, status, path);
    const { message, code } = json(answer) as { message: string; code: string };
    t.ok(message.length > 10 && code.length > 3, `${path}: ${message}`);
    t.notMatch(message, folder);
  }
  const bare = await talk(north, 'PUT /iso?name=a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  t.match(bare, /^HTTP\/1.1 411 /, 'no body at all');
  t.equal(await readFile(join(folder, 'static/iso/keep.iso'), 'utf8'), 'good');
  t.same((await readdir(join(folder, 'static/iso'))).sort(), ['.image-service', 'keep.iso']);
});

t.test('DELETE takes its name from the query or a JSON body, and bodies without meaning beside it', async (t) => {
  const { north, folder } = await startTestService(t);
  for (const [path, body, type] of [
    ['/iso?name=a', '[]', 'application/json'],
    ['/iso?name=a', '{}', 'application/json; charset=utf-8'],
    ['/iso?name=a', '', 'application/json'],
    ['/iso', '{"name": "a"}', 'application/json; charset=UTF-8'],
    ['/iso', 'name=a', 'application/x-www-form-urlencoded'],
  ] as const) {
    await writeFile(join(folder, 'static/iso/a'), 'x');
    const headers = { 'content-type': type, 'content-length': String(body.length) };
    t.equal((await ask(north, path, { method: 'DELETE', body, headers })).status, 200, `${path} ${body}`);
  }
  await writeFile(join(folder, 'static/iso/a'), 'x');
  for (const path of ['/iso', '/iso?nmae=a', '/iso?name=a&force=1']) {
    t.equal((await ask(north, path, { method: 'DELETE' })).status, 400, path);
  }
  t.same(await readdir(join(folder, 'static/iso')), ['.image-service', 'a']);
});

t.test('a dangling link in the store is not listed, and can be replaced and deleted', async (t) => {
  const { north, south, folder } = await startTestService(t);
  await symlink('/nowhere', join(folder, 'static/iso/a.iso'));
  t.same(json(await ask(north, '/iso')), []);
  t.equal((await ask(north, '/iso?name=a.iso', { method: 'DELETE' })).status, 200);
  await symlink('/nowhere', join(folder, 'static/iso/a.iso'));
  t.equal((await ask(north, '/iso?name=a.iso', { method: 'PUT', body: 'x' })).status, 200);
  t.equal((await ask(south, '/iso/a.iso')).text, 'x');
});

t.test('a name that is not UTF-8 is refused, in every spelling, and makes no file', async (t) => {
  const { north, folder } = await startTestService(t);
  for (const method of ['PUT', 'DELETE']) {
    for (const name of ['%ff%fe', '%ff', 'a%C3', '%zz', 'a%']) {
      const answer = await ask(north, `/iso?name=${name}`, { method, body: method === 'PUT' ? 'bytes' : '' });
      t.match({ status: answer.status, ...(json(answer) as object) }, { status: 400, code: 'BAD_REQUEST' }, name);
    }
  }
  t.same(await readdir(join(folder, 'static/iso')), ['.image-service']);
});

t.test('a name in the query and another one in the body are refused, and the same one is fine', async (t) => {
  const { north, south } = await startTestService(t);
  const remove = (name: string) => {
    const body = JSON.stringify({ name });
    return ask(north, '/iso?name=a', { method: 'DELETE', body, headers: { 'content-type': 'application/json' } });
  };
  const send = (name: string) => {
    const field = `--xyz\r\nContent-Disposition: form-data; name="name"\r\n\r\n${name}\r\n`;
    const file = '--xyz\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nthe bytes\r\n--xyz--\r\n';
    const headers = { 'content-type': 'multipart/form-data; boundary=xyz' };
    return ask(north, '/iso?name=a', { method: 'POST', body: field + file, headers });
  };
  t.match(await send('b'), { status: 400, text: /name is given twice/ });
  t.same(json(await ask(north, '/iso')), []);
  t.match(await send('a'), { status: 200, text: 'Upload finished!\n' });
  t.match(await remove('b'), { status: 400, text: /name is given twice/ });
  t.equal((await ask(south, '/iso/a')).text, 'the bytes');
  t.equal((await remove('a')).status, 200);
});

t.test('a form that announces more than the disk holds is refused before its file has come', async (t) => {
  const { north, folder } = await startTestService(t);
  const form = '--xyz\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nthe first bytes';
  for (const path of ['/iso?name=huge', '/images?name=huge&version=1']) {
    const connection = await Connection.open(north);
    t.teardown(() => connection.socket.destroy());
    const length = `Content-Length: ${2 ** 50}`;
    const type = 'Content-Type: multipart/form-data; boundary=xyz';
    connection.send(`POST ${path} HTTP/1.1\r\nHost: x\r\n${type}\r\n${length}\r\n\r\n${form}`);
    const answer = await connection.until('NO_SPACE');
    t.match(answer, /^HTTP\/1\.1 507 /, path);
  }
  t.same(await readdir(join(folder, 'static/iso/.image-service')), []);
  t.same(json(await ask(north, '/images')), []);
});

t.test('of many who delete one file at once exactly one is told that it has', async (t) => {
  const { north, folder } = await startTestService(t);
  for (let round = 0; round < 20; round++) {
    await writeFile(join(folder, 'static/iso/a.iso'), 'bytes');
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => ask(north, '/iso?name=a.iso', { method: 'DELETE' })),
    );
    const statuses = answers.map(({ status }) => status).sort();
    t.equal(statuses[0], 200, statuses.join());
    t.ok(
      statuses.slice(1).every((status) => status === 404 || status === 409),
      statuses.join(),
    );
    t.same(json(await ask(north, '/iso')), []);
  }
});

t.test('a store whose folder somebody removes is empty, and takes files and links again', async (t) => {
  const { north, south, folder } = await startTestService(t);
  const remove = () =>
    Promise.all(['iso', 'common'].map((place) => rm(join(folder, 'static', place), { recursive: true })));
  await remove();
  for (const route of ['/iso', '/microkernel']) {
    const answer = await ask(north, route);
    t.match({ status: answer.status, text: answer.text }, { status: 200, text: /^\[\]\s*$/ }, route);
    t.equal((await ask(north, `${route}?name=a`, { method: 'PUT', body: 'bytes' })).status, 200);
    t.match(json(await ask(north, route)), [{ name: 'a', bytes: 5 }]);
  }
  t.equal((await ask(south, '/common/a')).text, 'bytes');
  await remove();
  const local = join(await temporaryFolder(t), 'local.iso');
  await writeFile(local, smallIso({ readme: 'hello' }));
  const query = `/images?name=n&version=1&isolocal=${local}`;
  t.equal((await ask(north, query, { method: 'PUT', headers: { prefer: 'wait=10' } })).status, 201);
  t.equal((await ask(south, '/n/1/readme')).text, 'hello');
  t.match(json(await ask(north, '/iso')), [{ name: 'local.iso' }]);
});
