import { createHash, randomBytes } from 'node:crypto';
import { copyFile, mkdir, readdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type Answer, type Ask, ask, json } from '../fixtures/client.js';
import { Connection } from '../fixtures/connection.js';
import { farEnd } from '../fixtures/download-server.js';
import { fileOf, needs, settledImage } from '../fixtures/e2e-tools.js';
import { startFarFile } from '../fixtures/far-file.js';
import { formBody } from '../fixtures/form-body.js';
import { run } from '../fixtures/process.js';
import { type TestService, startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';

const iso = smallIso({ kernel: 'Linux', more: randomBytes(50_000) });
const former = smallIso({ kernel: 'former' });
const names = ['sha256', 'sha512', 'md5'] as const;

const hex = (name: string, bytes: Buffer) => createHash(name).update(bytes).digest('hex');
const base64 = (name: string, bytes: Buffer) => createHash(name).update(bytes).digest('base64');
const reprDigest = (bytes: Buffer) => `sha-256=:${base64('sha256', bytes)}:`;

const asJson = { accept: 'application/json' };
const patiently = { prefer: 'wait=20' };

/** The ways by which a file comes in as a body. */
const doors = [
  { what: 'an ISO', path: '/iso?name=a.iso', place: '/iso/a.iso', list: '/iso', location: /^\/iso\?name=a\.iso$/ },
  {
    what: 'a microkernel',
    path: '/microkernel?name=a.iso',
    place: '/common/a.iso',
    list: '/microkernel',
    location: /^\/microkernel\?name=a\.iso$/,
  },
  {
    what: 'an image',
    path: '/images?name=n&version=1&isoclient=a.iso',
    place: '/iso/a.iso',
    list: '/iso',
    location: /^\/images\/[0-9a-f-]{36}$/,
  },
];

/** The ways in which a client says what its file has to be: headers, a query, or the fields of a form. */
const sayings: { what: string; name: string; say: (bytes: Buffer) => Ask & { query?: string } }[] = [
  ...names.flatMap((name) => [
    { what: `the parameter ${name}`, name, say: (bytes: Buffer) => ({ query: `&${name}=${hex(name, bytes)}` }) },
    {
      what: `the form field ${name}`,
      name,
      say: (bytes: Buffer) => formBody({ [name]: hex(name, bytes) }, 'a.iso', iso),
    },
  ]),
  {
    what: 'sha256 in upper case',
    name: 'sha256',
    say: (bytes) => ({ query: `&sha256=${hex('sha256', bytes).toUpperCase()}` }),
  },
  ...['Repr-Digest', 'Content-Digest'].flatMap((field) =>
    [['sha-256', 'sha256'] as const, ['sha-512', 'sha512'] as const].map(([key, name]) => ({
      what: `${field} with ${key}`,
      name,
      say: (bytes: Buffer) => ({ headers: { [field]: `${key}=:${base64(name, bytes)}:` } }),
    })),
  ),
  { what: 'Content-MD5', name: 'md5', say: (bytes) => ({ headers: { 'Content-MD5': base64('md5', bytes) } }) },
];

function send(north: string, path: string, { query = '', headers, body }: Ask & { query?: string }): Promise<Answer> {
  return ask(north, path + query, { method: 'PUT', body: body ?? iso, headers: { ...asJson, ...headers } });
}

/** What the stores and the list of images show, and what lies in the folders of the stores. */
async function shown(service: TestService): Promise<unknown> {
  const lists = ['/iso', '/microkernel', '/images'].map(async (path) => json(await ask(service.north, path)));
  const folders = ['iso', 'common'].map(async (store) =>
    readdir(join(service.folder, 'static', store, '.image-service')),
  );
  return Promise.all([...lists, ...folders]);
}

function removeImage(north: string, name: string): Promise<Answer> {
  return ask(north, `/images?name=${name}&version=1`, { method: 'DELETE' });
}

for (const { what, path, place, list, location } of doors) {
  t.test(`${what} that is what its client says it is, in any of the ways to say so, is stored`, async (t) => {
    const { north, south } = await startTestService(t);
    for (const [index, { what, say }] of sayings.entries()) {
      const answer = await send(north, path, say(iso));
      // An image is new each time; of the stored file it replaces the former one.
      const isNew = index === 0 || path.startsWith('/images');
      t.equal(answer.status, isNew ? 201 : 200, what);
      t.match(answer.headers, { location, 'repr-digest': reprDigest(iso) }, what);
      t.match(
        json(await ask(north, answer.headers.location ?? '')),
        path.startsWith('/images') ? {} : [{ name: 'a.iso' }],
      );
      t.ok((await ask(south, place)).body.equals(iso), what);
      t.match(json(await ask(north, list)), [{ name: 'a.iso', sha256: hex('sha256', iso) }], what);
      if (!path.startsWith('/images')) continue;
      t.match(await settledImage(north, 'n'), { status: 'OK', sha256: hex('sha256', iso) }, what);
      await removeImage(north, 'n');
    }
  });

  t.test(`${what} that is not what its client says it is leaves everything as it was`, async (t) => {
    const service = await startTestService(t);
    const { north, south } = service;
    const store = path.replace(/^\/images.*/, '/iso?name=a.iso');
    t.equal((await ask(north, store, { method: 'PUT', body: former, headers: asJson })).status, 201);
    const before = await shown(service);
    for (const { what, name, say } of sayings) {
      const answer = await send(north, path, say(former));
      t.equal(answer.status, 422, what);
      const message = `The ${name} of the file is ${hex(name, iso)}; it should be ${hex(name, former)}`;
      t.match(json(answer), { code: 'DIGEST_MISMATCH', message }, what);
      t.same(await shown(service), before, what);
    }
    t.ok((await ask(south, place)).body.equals(former), 'what was there is served');

    const inWords = await ask(north, `${path}&md5=${hex('md5', former)}`, { method: 'PUT', body: iso });
    t.match(inWords.text, /Upload failed: The md5 of the file is [0-9a-f]{32}; it should be [0-9a-f]{32}\n$/);
    t.notOk(inWords.complete, 'the connection is cut, so that a script notices');
    t.same(await shown(service), before);
  });

  t.test(`${what} whose digest cannot be one is refused before it is asked for`, async (t) => {
    const service = await startTestService(t);
    const before = await shown(service);
    const wrong: [query: string, fields?: string][] = [
      ['&sha256=abc'],
      ['&sha256='],
      [`&sha256=${'g'.repeat(64)}`],
      [`&sha512=${'0'.repeat(64)}`],
      [`&md5=${'0'.repeat(31)}`],
      [`&md5=${'0'.repeat(32)}&md5=${'1'.repeat(32)}`],
      ['', 'Repr-Digest: sha-256=abc\r\n'],
      ['', 'Repr-Digest: sha-256=:YWJj:\r\n'],
      ['', 'Content-Digest: sha-512\r\n'],
      ['', 'Content-MD5: abc\r\n'],
      ['', `Repr-Digest: ${reprDigest(iso)}\r\nContent-Digest: ${reprDigest(former)}\r\n`],
      [`&sha256=${hex('sha256', iso)}`, `Repr-Digest: ${reprDigest(former)}\r\n`],
    ];
    for (const [query, fields = ''] of wrong) {
      const head = `PUT ${path}${query} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n${fields}`;
      const connection = await Connection.open(service.north);
      t.teardown(() => connection.socket.destroy());
      connection.send(`${head}Expect: 100-continue\r\n\r\n`);
      const answer = await connection.until((text) => text.endsWith('}\n'));
      t.match(answer, /^HTTP\/1\.1 400 /, query + fields);
      t.match(answer, '"BAD_REQUEST"', query + fields);
    }
    const form = await send(service.north, path, formBody({ sha512: '0'.repeat(64) }, 'a.iso', iso));
    t.match(json(form), { code: 'BAD_REQUEST', message: /sha512 must be 128 hexadecimal digits/ });
    t.same(await shown(service), before);
  });
}

/** A service that has `stored.iso` and can take `local.iso`, and a far end with `web.iso`; all are the same ISO. */
async function startWithSources(t: Test) {
  const service = await startTestService(t);
  const { far, url } = await startFarFile(t, iso);
  await writeFile(join(service.folder, 'static/iso/stored.iso'), iso);
  const local = await fileOf(service.folder, 'local.iso', iso);
  const sources = { isostore: 'stored.iso', isolocal: local, isoweb: `${url}/web.iso` };
  return { ...service, far, sources: Object.entries(sources) };
}

t.test('an image from the store, the server or the web is OK when its ISO has the digests asked for', async (t) => {
  const { north, south, sources } = await startWithSources(t);
  for (const [kind, value] of sources) {
    for (const given of [...names.map((name) => [name]), names]) {
      const digests = given.map((name) => [name, hex(name, iso)]);
      const parameters = Object.fromEntries([['name', kind], ['version', '1'], [kind, value], ...digests]) as object;
      const query = new URLSearchParams({ ...parameters }).toString();
      const forms: [path: string, options: Ask][] = [
        [`/images?${query}`, {}],
        ['/images', { body: query, headers: { 'content-type': 'application/x-www-form-urlencoded' } }],
        ['/images', { body: JSON.stringify(parameters), headers: { 'content-type': 'application/json' } }],
      ];
      for (const [path, { body, headers }] of forms) {
        const options = { method: 'PUT', headers: { ...patiently, ...headers }, ...(body !== undefined && { body }) };
        const answer = await ask(north, path, options);
        t.equal(answer.status, 201, `${kind} ${given.join()}`);
        t.match(json(answer), { status: 'OK', source: { kind, digests: Object.fromEntries(digests) as object } });
        t.equal((await ask(south, `/${kind}/1/kernel`)).text, 'Linux');
        await removeImage(north, kind);
      }
    }
  }
});

t.test('an image whose ISO has other digests than asked for has failed, and is not served', async (t) => {
  const { north, south, sources } = await startWithSources(t);
  await ask(north, '/iso?name=web.iso', { method: 'PUT', body: former });
  for (const [kind, value] of sources) {
    for (const name of names) {
      const query = `name=${kind}&version=1&${kind}=${encodeURIComponent(value)}&${name}=${hex(name, former)}`;
      const answer = await ask(north, `/images?${query}`, { method: 'PUT', headers: patiently });
      t.equal(answer.status, 202, `${kind} ${name}`);
      const error = `The ${name} of the file is ${hex(name, iso)}; it should be ${hex(name, former)}`;
      t.match(json(answer), { status: 'failed', error }, `${kind} ${name}`);
      t.equal((await ask(south, `/${kind}/1/kernel`)).status, 404);
      await removeImage(north, kind);
    }
  }
  t.ok((await ask(south, '/iso/web.iso')).body.equals(former), 'what was stored under the name stays');
  t.match(json(await ask(north, '/iso?name=web.iso')), [{ sha256: hex('sha256', former) }]);
});

t.test('a digest that cannot be one is refused, and no image is made', async (t) => {
  const { north, sources } = await startWithSources(t);
  for (const [kind, value] of sources) {
    for (const wrong of ['sha256=abc', `sha512=${'0'.repeat(64)}`, 'md5=', `md5=${'x'.repeat(32)}`]) {
      const query = `name=n&version=1&${kind}=${encodeURIComponent(value)}&${wrong}`;
      const answer = await ask(north, `/images?${query}`, { method: 'PUT' });
      t.match({ status: answer.status, ...(json(answer) as object) }, { status: 400, code: 'BAD_REQUEST' }, query);
    }
  }
  t.same(json(await ask(north, '/images')), []);
});

t.test(
  'an image that has failed by its digest fails again at the next start, until its ISO is the right one',
  async (t) => {
    const service = await startWithSources(t);
    for (const [kind, value] of service.sources) {
      const query = `name=${kind}&version=1&${kind}=${encodeURIComponent(value)}&sha256=${hex('sha256', former)}`;
      await ask(service.north, `/images?${query}`, { method: 'PUT', headers: patiently });
    }
    const again = await service.restart();
    for (const [kind] of service.sources) {
      t.match(await settledImage(again.north, kind), { status: 'failed', error: /^The sha256 of the file is / }, kind);
      t.equal((await ask(again.south, `/${kind}/1/kernel`)).status, 404);
    }
    await fileOf(join(service.folder, 'static/iso'), 'stored.iso', former);
    await fileOf(service.folder, 'local.iso', former);
    Object.assign(service.far, { content: former, etag: '"former"' });
    const right = await again.restart();
    for (const [kind] of service.sources) {
      t.match(await settledImage(right.north, kind), { status: 'OK', bytes: former.length }, kind);
      t.equal((await ask(right.south, `/${kind}/1/kernel`)).text, 'former');
    }
  },
);

t.test('an image that must have a digest is not made from whatever replaces its ISO', async (t) => {
  const service = await startTestService(t);
  const { north, south } = service;
  const put = (bytes: Buffer) => ask(north, '/iso?name=a.iso', { method: 'PUT', body: bytes });
  await put(former);
  const query = `name=n&version=1&isostore=a.iso&sha256=${hex('sha256', iso)}`;
  t.match(json(await ask(north, `/images?${query}`, { method: 'PUT', headers: patiently })), { status: 'failed' });
  await put(smallIso({ kernel: 'a third one' }));
  t.match(await settledImage(north, 'n'), { status: 'failed', error: /The sha256 of the file is/ });
  await put(iso);
  t.match(await settledImage(north, 'n'), { status: 'OK' });
  await put(former);
  t.match(await settledImage(north, 'n'), { status: 'OK', error: /replaced .* The sha256 of the file is/ });
  const kernel = (await ask(south, '/n/1/kernel')).text;
  t.not(kernel, 'former', 'it stays as it was');
  const again = await service.restart();
  t.match(await settledImage(again.north, 'n'), { status: 'failed', error: /The sha256 of the file is/ });
  t.equal((await ask(again.south, '/n/1/kernel')).status, 404);
});

/** Adds an image whose ISO, `web.iso`, must be in a list. */
async function addWithSums(t: Test, list: string | undefined, more = '') {
  const { north, south } = await startTestService(t);
  const { url } = await startFarFile(t, iso);
  const sums = await farEnd(t, (_, response) => {
    if (list === undefined) response.writeHead(404).end();
    else response.end(list);
  });
  const query = new URLSearchParams({ isoweb: `${url}/images/web.iso`, sums: `${sums.url}/SHA256SUMS` }).toString();
  const answer = await ask(north, `/images?name=n&version=1&${query}${more}`, { method: 'PUT', headers: patiently });
  const { status } = await ask(south, '/n/1/kernel');
  return { record: json(answer), status, stored: json(await ask(north, '/iso')) };
}

for (const [what, line] of [
  ['in GNU form', (name: string, digest: string) => `${digest} *${name}`],
  ['in BSD form', (name: string, digest: string, label: string) => `${label} (${name}) = ${digest}`],
] as const) {
  t.test(`a list of checksums ${what} says whether a download is the right one`, async (t) => {
    for (const name of names) {
      const listOf = (bytes: Buffer) =>
        [
          line('other.iso', hex(name, former), name.toUpperCase()),
          line('./web.iso', hex(name, bytes), name.toUpperCase()),
          line('another.iso', hex(name, former), name.toUpperCase()),
          '',
        ].join('\n');
      const right = await addWithSums(t, listOf(iso));
      t.match(right, { record: { status: 'OK', sha256: hex('sha256', iso) }, status: 200 }, name);

      const wrong = await addWithSums(t, listOf(former));
      const error = `The ${name} of the file is ${hex(name, iso)}; it should be ${hex(name, former)}`;
      t.match(wrong, { record: { status: 'failed', error }, status: 404 }, name);
      t.same(wrong.stored, [], name);
    }
  });
}

t.test('a list of checksums that says nothing of the download makes it fail, and nothing is stored', async (t) => {
  const digest = hex('sha256', iso);
  const tooMuch = `${digest}  web.iso\n${`${digest}  other.iso\n`.repeat(15_000)}`;
  const contradiction = `&sha256=${hex('sha256', former)}`;
  for (const [list, error, more] of [
    [`${digest}  other.iso\n`, /list of checksums has no sha256, sha512 or md5 of "web\.iso"/],
    [undefined, /answered 404 Not Found/],
    [tooMuch, /sent a file of more than 1048576 bytes/],
    [`${digest}  web.iso\n${hex('sha256', former)}  web.iso\n`, /different values of sha256 for "web\.iso"/],
    [`${digest}  web.iso\n`, /two different things about the sha256/, contradiction],
  ] as const) {
    const { record, status, stored } = await addWithSums(t, list, more);
    t.match({ record, status }, { record: { status: 'failed', error }, status: 404 }, error.source);
    t.same(stored, [], error.source);
  }
});

t.test('a list of checksums goes with a download only, and must have a URL', async (t) => {
  const { north, sources } = await startWithSources(t);
  const sums = `&sums=${encodeURIComponent('http://127.0.0.1:1/SHA256SUMS')}`;
  for (const [kind, value] of [...sources.filter(([kind]) => kind !== 'isoweb'), ['isoclient', 'c.iso'] as const]) {
    const query = `name=n&version=1&${kind}=${encodeURIComponent(value)}${sums}`;
    const body = kind === 'isoclient' ? { body: iso } : {};
    t.match(await ask(north, `/images?${query}`, { method: 'PUT', ...body }), { status: 400, text: /sums/ }, kind);
  }
  const [, web = ''] = sources.find(([kind]) => kind === 'isoweb') ?? [];
  for (const wrong of ['', 'SHA256SUMS', 'file:///etc/passwd', 'http://']) {
    const query = `name=n&version=1&isoweb=${encodeURIComponent(web)}&sums=${encodeURIComponent(wrong)}`;
    t.equal((await ask(north, `/images?${query}`, { method: 'PUT' })).status, 400, wrong);
  }
  t.same(json(await ask(north, '/images')), []);
});

t.test('a stored file is served with its digest, as a whole, in part, and by HEAD', async (t) => {
  const { north, south } = await startTestService(t);
  for (const [path, place] of [
    ['/iso?name=a.iso', '/iso/a.iso'],
    ['/microkernel?name=vmlinuz', '/common/vmlinuz'],
  ] as const) {
    await ask(north, path, { method: 'PUT', body: iso });
    const whole = await ask(south, place);
    t.match(whole, { status: 200, headers: { 'repr-digest': reprDigest(iso) } }, place);
    t.match(await ask(south, place, { method: 'HEAD' }), { status: 200, headers: { 'repr-digest': reprDigest(iso) } });
    const part = await ask(south, place, { headers: { range: 'bytes=100-199' } });
    t.match(part, { status: 206, headers: { 'repr-digest': reprDigest(iso) } }, 'the digest of the whole file');
    t.ok(part.body.equals(iso.subarray(100, 200)));
    const same = await ask(south, place, { headers: { 'if-none-match': whole.headers.etag } });
    t.equal(same.status, 304);

    await ask(north, path, { method: 'PUT', body: former });
    t.match(await ask(south, place), { headers: { 'repr-digest': reprDigest(former) } }, 'replaced');
  }
});

t.test('sha256sum finds all files right by the lists that the service makes', await needs('sha256sum'), async (t) => {
  const { north, south } = await startTestService(t);
  for (const [path, place] of [
    ['/iso', '/iso'],
    ['/microkernel', '/common'],
  ] as const) {
    t.equal((await ask(south, `${place}/SHA256SUMS`)).text, '', 'nothing is there');
    const files = ['a.iso', 'a b.iso', '*.iso', 'ü 日本.iso', '--check', '$(x)\'".iso', 'SHA256SUMS.gpg'];
    for (const name of files) {
      const query = `?name=${encodeURIComponent(name)}`;
      await ask(north, path + query, { method: 'PUT', body: randomBytes(10_000) });
    }
    const folder = await temporaryFolder(t);
    const check = () => run('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: folder });
    const listed = json(await ask(south, `${place}/`, { headers: asJson })) as { name: string }[];
    t.same(new Set(listed.map(({ name }) => name)), new Set([...files, 'SHA256SUMS']));
    for (const { name } of listed) {
      await writeFile(join(folder, name), (await ask(south, `${place}/${encodeURIComponent(name)}`)).body);
    }
    const right = await check();
    t.equal(right.code, 0, right.stderr);
    t.equal(right.stdout.trim().split('\n').length, files.length, 'and none is left out');

    await writeFile(join(folder, 'a.iso'), 'damaged');
    t.equal((await check()).code, 1);
    await ask(north, `${path}?name=a.iso`, { method: 'DELETE' });
    t.notMatch((await ask(south, `${place}/SHA256SUMS`)).text, / a\.iso$/m, 'what is deleted is not in it');
    t.equal((await ask(north, `${path}?name=SHA256SUMS`, { method: 'PUT', body: 'x' })).status, 400);
  }
});

t.test('a file that is copied into a store is there at once, and has its digest after a while', async (t) => {
  const service = await startTestService(t);
  const { north, south, folder } = service;
  const source = await fileOf(folder, 'source', iso);
  const hour = new Date(Date.now() - 3_600_000);
  for (const [store, path] of [
    ['iso', '/iso'],
    ['common', '/microkernel'],
  ] as const) {
    await mkdir(join(folder, 'static', store), { recursive: true });
    const copied = join(folder, 'static', store, 'copied.iso');
    // Named before the other: files are read in order.
    const growing = join(folder, 'static', store, 'a-growing.iso');
    await copyFile(source, growing);
    await utimes(growing, hour, new Date(Date.now() + 3_600_000));
    await copyFile(source, copied);
    await utimes(copied, hour, hour);
    // Many a mirror has one; its own list is the one that the service shows.
    await utimes(await fileOf(join(folder, 'static', store), 'SHA256SUMS', 'of a mirror'), hour, hour);
    const record = async () => (json(await ask(north, `${path}?name=copied.iso`)) as { sha256?: string }[])[0];
    t.match(await record(), { name: 'copied.iso', bytes: iso.length });
    t.ok((await ask(south, `/${store}/copied.iso`)).body.equals(iso));

    await waitFor('its digest', async () => (await record())?.sha256 !== undefined);
    t.match(await record(), { sha256: hex('sha256', iso) });
    t.equal((await ask(south, `/${store}/copied.iso`)).headers['repr-digest'], reprDigest(iso));
    t.equal((await ask(south, `/${store}/SHA256SUMS`)).text, `${hex('sha256', iso)}  copied.iso\n`);
    t.match(
      json(await ask(north, `${path}?name=a-growing.iso`)),
      [{ sha256: undefined }],
      'one that was just written to is left alone',
    );
  }

  const answer = await ask(north, '/images?name=n&version=1&isostore=copied.iso', {
    method: 'PUT',
    headers: patiently,
  });
  t.match(json(answer), { status: 'OK', sha256: hex('sha256', iso) }, 'its image has it too');
  const again = await service.restart();
  t.match(json(await ask(again.north, '/iso?name=copied.iso')), [{ sha256: hex('sha256', iso) }]);
  t.match(json(await ask(again.north, '/images')), [{ status: 'OK', sha256: hex('sha256', iso) }]);
});
