import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json, talk } from '../fixtures/client.js';
import { field, record } from '../fixtures/iso-builder.js';
import { rockRidge } from '../fixtures/iso-volume.js';
import { type TestService, startTestService, temporaryFolder } from '../fixtures/service.js';
import { smallIso } from '../fixtures/small-iso.js';

/** A service with some free files and one image, `ESXi` `6.5`. */
async function start(t: Test, settings = {}): Promise<TestService> {
  const service = await startTestService(t, settings);
  const root = join(service.folder, 'static');
  await mkdir(join(root, 'tools/.disk'), { recursive: true });
  await writeFile(join(root, 'tools/Memdisk'), 'a memdisk');
  await writeFile(join(root, 'tools/.disk/info'), 'dot file');
  await writeFile(join(root, 'a+b %41 ü#?.txt'), 'odd name');
  const iso = smallIso({ 'boot.cfg': 'kernel=b.b00', 'B.B00': 'the kernel', '.treeinfo': '[general]' }, { esxi: '.' });
  await writeFile(join(root, 'iso/e.iso'), iso);
  const headers = { prefer: 'wait=10' };
  await ask(service.north, '/images?name=ESXi&version=6.5&isostore=e.iso', { method: 'PUT', headers });
  return service;
}

t.test('files of the folder, of the stores and of the images are in one tree', async (t) => {
  const { north, south } = await start(t);
  await ask(north, '/microkernel?name=vmlinuz', { method: 'PUT', body: 'linux' });
  const cases: [path: string, text: string][] = [
    ['/tools/Memdisk', 'a memdisk'],
    ['/common/vmlinuz', 'linux'],
    ['/ESXi/6.5/boot.cfg', 'kernel=b.b00'],
    ['/ESXi/6.5/.treeinfo', '[general]'],
    ['/tools/.disk/info', 'dot file'],
  ];
  for (const [path, text] of cases) t.equal((await ask(south, path)).text, text, path);
  t.equal((await ask(south, '/iso/e.iso')).status, 200);
});

t.test('names are found by their exact spelling first, then in any case', async (t) => {
  const { south, folder } = await start(t);
  await mkdir(join(folder, 'static/TOOLS'));
  await writeFile(join(folder, 'static/TOOLS/Memdisk'), 'the other');
  const cases: [path: string, text: string][] = [
    ['/esxi/6.5/BOOT.CFG', 'kernel=b.b00'],
    ['/ESXI/6.5/b.b00', 'the kernel'],
    ['/TOOLS/Memdisk', 'the other'],
    ['/tools/MEMDISK', 'a memdisk'],
    ['/A+b%20%2541%20%C3%BC%23%3f.TXT', 'odd name'],
  ];
  for (const [path, text] of cases) t.equal((await ask(south, path)).text, text, path);
  t.equal((await ask(south, '/ISO/E.ISO')).status, 200);
});

t.test('slashes collapse inside a path, links inside an image are followed, and a file never redirects', async (t) => {
  const { south } = await start(t);
  for (const path of [
    '//ESXi//6.5/./boot.cfg',
    '/ESXi/6.5/esxi/esxi/boot.cfg',
    '/ESXi/6.5/boot.cfg?x=1',
    `${south}/ESXi/6.5/boot.cfg`,
  ]) {
    const answer = await ask(south, path);
    t.match({ status: answer.status, text: answer.text }, { status: 200, text: 'kernel=b.b00' }, path);
  }
  t.equal((await ask(south, '/ESXi/6.5/boot.cfg/')).status, 404);
});

t.test('nothing outside of the tree is reached by any spelling', async (t) => {
  const { south, folder } = await start(t);
  await writeFile(join(folder, 'secret'), 'secret');
  await symlink(join(folder, 'secret'), join(folder, 'static/link'));
  await symlink('../..', join(folder, 'static/tools/up'));
  await mkdir(join(folder, 'static-secret'));
  await writeFile(join(folder, 'static-secret/x'), 'secret');
  const paths = [
    ...['/../secret', '/%2e%2e/secret', '/..%2fsecret', '/tools/../../secret', '/%252e%252e/secret', '/..\\secret'],
    ...['/link', '/tools/up/secret', '/tools/up/static-secret/x', '/ESXi/6.5/../../../secret', '/ESXi/6.5/%2e%2e/x'],
    ...[
      '//etc/passwd',
      '/etc/passwd',
      '/%00',
      '/tools%2FMemdisk',
      '/iso/.image-service/',
      '/iso/.IMAGE-SERVICE/store.json',
    ],
  ];
  for (const path of paths) {
    const answer = await ask(south, path);
    t.ok(answer.status === 404 || answer.status === 400, `${path}: ${answer.status}`);
    t.notMatch(answer.text, /secret"|root:/);
    t.notMatch(answer.text, folder);
  }
  t.notMatch((await ask(south, '/iso/?format=text')).text, /image-service/);
});

t.test('the inventory is never served, also when it lies in the served folder', async (t) => {
  const service = await start(t, { inventoryFile: './static/inventory.json' });
  for (const path of ['/inventory.json', '/INVENTORY.json', '/inventory.json.tmp']) {
    t.equal((await ask(service.south, path)).status, 404, path);
  }
  t.notMatch((await ask(service.south, '/?format=text')).text, /inventory/);
});

t.test('a folder is listed as HTML, JSON or text', async (t) => {
  const { south } = await start(t);
  const html = await ask(south, '/', { headers: { accept: 'text/html,*/*;q=0.8' } });
  t.match(html.headers['content-type'], /^text\/html/);
  t.match(html.text, /<a href=".\/ESXi\/">ESXi\/<\/a>/);
  const asJson = json(await ask(south, '/ESXi/6.5/', { headers: { accept: 'application/json' } }));
  t.match(asJson, [
    { name: 'esxi', type: 'folder', link: '.' },
    { name: '.treeinfo', type: 'file', size: 9, modified: '2020-02-03T03:05:06.000Z' },
    { name: 'B.B00', type: 'file' },
    { name: 'boot.cfg', type: 'file' },
  ]);
  t.equal((await ask(south, '/?format=text')).text, 'ESXi/\ncommon/\niso/\ntools/\na+b %41 ü#?.txt\n');
  t.equal((await ask(south, '/ESXi/?format=text')).text, '6.5/\n');
  t.equal((await ask(south, '/?format=xml')).status, 400);
  const head = await ask(south, '/', { method: 'HEAD' });
  t.equal(head.headers['content-length'], String(html.body.length));
  t.equal(head.text, '');
});

t.test('a folder without its slash is redirected relatively, to nowhere else', async (t) => {
  const { south } = await start(t);
  const cases: [path: string, location: string][] = [
    ['/ESXi/6.5', './6.5/'],
    ['/ESXi/6.5?format=json', './6.5/?format=json'],
    ['//ESXi', './ESXi/'],
    ['/tools', './tools/'],
  ];
  for (const [path, location] of cases) {
    const answer = await ask(south, path);
    t.match({ status: answer.status, location: answer.headers.location }, { status: 301, location }, path);
  }
});

t.test('only GET, HEAD and OPTIONS are possible', async (t) => {
  const { south } = await start(t);
  for (const method of ['PUT', 'POST', 'DELETE', 'PATCH', 'PROPFIND', 'TRACE']) {
    const answer = await ask(south, '/tools/Memdisk', { method });
    t.equal(answer.status, 405, method);
    t.equal(answer.headers.allow, 'GET, HEAD, OPTIONS');
  }
  const options = await ask(south, '/tools/Memdisk', { method: 'OPTIONS' });
  t.match({ status: options.status, allow: options.headers.allow }, { status: 204, allow: 'GET, HEAD, OPTIONS' });
});

t.test('a validator is the same after a restart and on another replica, and another one for other bytes', async (t) => {
  const one = await start(t);
  const other = await startTestService(t);
  const iso = (await ask(one.south, '/iso/e.iso')).body;
  const name = '/images?name=ESXi&version=6.5&isoclient=u.iso';
  await ask(one.north, '/images?name=ESXi&version=6.5', { method: 'DELETE' });
  for (const { north } of [one, other]) {
    await ask(north, name, { method: 'PUT', body: iso, headers: { prefer: 'wait=10' } });
  }
  const tag = async (south: string, path: string) => (await ask(south, path, { method: 'HEAD' })).headers.etag;
  for (const path of ['/ESXi/6.5/boot.cfg', '/iso/u.iso']) {
    const before = await tag(one.south, path);
    t.match(before, /^"[!#-~]+"$/);
    t.equal(await tag(other.south, path), before, `${path} on the other replica`);
  }
  const before = await tag(one.south, '/ESXi/6.5/boot.cfg');
  const again = await one.restart();
  t.equal(await tag(again.south, '/ESXi/6.5/boot.cfg'), before, 'after a restart');
  const changed = Buffer.from(iso);
  changed.write('KERNEL', changed.indexOf('kernel='));
  await ask(again.north, '/iso?name=u.iso', { method: 'PUT', body: changed });
  t.match((await ask(again.south, '/ESXi/6.5/boot.cfg')).text, /^KERNEL/);
  t.not(await tag(again.south, '/ESXi/6.5/boot.cfg'), before, 'after a replacement of the same size');
});

t.test('everything lies below httpFileServiceApiRoot', async (t) => {
  const { south } = await start(t, { httpFileServiceApiRoot: '/files' });
  t.equal((await ask(south, '/files/tools/Memdisk')).text, 'a memdisk');
  t.equal((await ask(south, '/files/ESXi/6.5/boot.cfg')).status, 200);
  t.equal((await ask(south, '/files')).headers.location, './files/');
  t.match((await ask(south, '/files/?format=text')).text, /^ESXi\/\n/);
  t.equal((await ask(south, '/tools/Memdisk')).status, 404);
});

t.test('one endpoint can have both routers', async (t) => {
  const endpoint = { address: '127.0.0.1', port: 0, routers: ['southbound', 'northbound'] };
  const { north } = await startTestService(t, { httpEndpoints: [endpoint] });
  t.equal((await ask(north, '/iso?name=x.iso', { method: 'PUT', body: 'x' })).status, 200);
  t.match(json(await ask(north, '/iso')), [{ name: 'x.iso' }]);
  t.equal((await ask(north, '/iso/x.iso')).text, 'x');
  t.equal((await ask(north, '/iso/x.iso', { method: 'PUT', body: 'x' })).status, 405);
  t.equal((await ask(north, '/none')).status, 404);
});

t.test('a name in the listing cannot be taken for markup or a second header', async (t) => {
  const { south, folder } = await start(t);
  await mkdir(join(folder, 'static/<b>"&\r\nX-Bad: 1'));
  const listing = await ask(south, '/');
  t.notMatch(listing.text, /<b>"/);
  const answer = await talk(south, 'GET /%3Cb%3E%22&%0D%0AX-Bad:%201 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
  t.match(answer, /^HTTP\/1.1 301 /);
  t.notMatch(answer, /^X-Bad/im);
});

/** Adds an image `n` `1` made from an ISO, and gives the names in its root. */
async function namesIn(t: Test, { north, south, folder }: TestService, iso: Buffer): Promise<string[]> {
  await writeFile(join(folder, 'static/iso/n.iso'), iso);
  const headers = { prefer: 'wait=10' };
  const added = await ask(north, '/images?name=n&version=1&isostore=n.iso', { method: 'PUT', headers });
  t.equal(added.status, 201);
  const entries = json(await ask(south, '/n/1/?format=json')) as { name: string }[];
  return entries.map(({ name }) => name);
}

t.test('a name with a backslash is listed and fetched, as systemd’s units have it', async (t) => {
  const service = await startTestService(t);
  const names = ['dev-a\\x2db.device', '\\', 'a\\..\\b'];
  const iso = smallIso(Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
  t.same((await namesIn(t, service, iso)).sort(), [...names].sort());
  for (const name of names) {
    const answer = await ask(service.south, `/n/1/${encodeURIComponent(name)}`);
    t.match({ status: answer.status, text: answer.text }, { status: 200, text: `content of ${name}` }, name);
  }
  const html = await ask(service.south, '/n/1/', { headers: { accept: 'text/html' } });
  t.ok(html.text.includes('href="./dev-a%5Cx2db.device"'), 'and the listing leads to it');
});

t.test('a name that is longer than any on a disk once it is encoded is listed and fetched', async (t) => {
  const service = await startTestService(t);
  const stored = {
    // 525 characters in the URL.
    text: Buffer.from('€'.repeat(58) + '!'),
    // Not UTF-8: every byte reads as a character of its own, which makes 400 bytes of UTF-8 and 1200 in the URL.
    bytes: Buffer.alloc(200, 0xe4),
  };
  const names = [stored.text.toString(), stored.bytes.toString('latin1')];
  const iso = rockRidge(
    Object.values(stored).map((name, index) =>
      record(`F${index};1`, { block: 40 + index, length: 5, systemUse: field.nm(name) }),
    ),
    (builder) => builder.put(40, 'text!').put(41, 'bytes'),
  );
  t.same((await namesIn(t, service, iso)).sort(), [...names].sort());
  t.equal((await ask(service.south, `/n/1/${encodeURIComponent(names[0] ?? '')}`)).text, 'text!');
  t.equal((await ask(service.south, `/n/1/${encodeURIComponent(names[1] ?? '')}`)).text, 'bytes');
  t.equal((await ask(service.south, `/tools/${'a'.repeat(1000)}`)).status, 404, 'a folder on disk has no such name');
});

t.test('an inventory behind a link is served under none of its names', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'static/state'), { recursive: true });
  const real = join(folder, 'static/state/real.json');
  await writeFile(real, '{"images": []}');
  await symlink(real, join(folder, 'inventory.json'));
  await symlink('state/real.json', join(folder, 'static/alias.json'));
  for (const inventoryFile of ['inventory.json', 'static/alias.json', 'static/state/real.json']) {
    const { service, south } = await startTestService(t, { inventoryFile }, folder);
    for (const path of ['/state/real.json', '/STATE/Real.json', '/state/real.json.tmp', '/alias.json']) {
      t.equal((await ask(south, path)).status, 404, `${path} of ${inventoryFile}`);
    }
    t.equal((await ask(south, '/state/?format=text')).text, '');
    await service.stop();
  }
});
