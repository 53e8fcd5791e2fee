import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json, talk } from '../fixtures/client.js';
import { type TestService, startTestService } from '../fixtures/service.js';
import { addImage } from '../fixtures/southbound.js';

/** What nodes are told to boot from, laid out as RackHD's graphs expect it. */
async function start(t: Test): Promise<TestService> {
  const service = await startTestService(t);
  const root = join(service.folder, 'static');
  await addImage(
    service,
    'ubuntu/14.04',
    {
      linux: 'the kernel',
      'initrd.gz': Buffer.from([0x1f, 0x8b, 8, 0]),
      'filesystem.squashfs': 'hsqs',
      Release: 'Suite',
    },
    { ubuntu: '.' },
  );
  await addImage(service, 'ESXi/6.5', { 'BOOT.CFG': 'kernel=b.b00', 'B.B00': 'esxi', 'MBOOT.C32': 'mboot' });
  await addImage(service, 'centos/7', { '.treeinfo': '[general]', '.discinfo': '1' });
  await writeFile(join(root, 'PKGS_OS10-10.0.0_x86_64.bin'), 'os10');
  await writeFile(join(root, 'common/vmlinuz-3.16.0-25-generic'), 'linux');
  await writeFile(join(root, 'common/discovery.overlay.cpio.gz'), Buffer.from([0x1f, 0x8b, 8, 0]));
  await mkdir(join(root, 'winpe/Boot'), { recursive: true });
  await writeFile(join(root, 'winpe/Boot/BCD'), 'bcd');
  await writeFile(join(root, 'common/c++.img'), 'plus');
  return service;
}

/** The fields of an answer as they were sent. */
async function fieldsOf(base: string, request: string): Promise<{ status: number; fields: string[]; body: string }> {
  const answer = await talk(base, `${request}\r\nConnection: close\r\n\r\n`);
  const end = answer.indexOf('\r\n\r\n');
  const [line = '', ...fields] = answer.slice(0, end).split('\r\n');
  return { status: Number(line.split(' ')[1]), fields, body: answer.slice(end + 4) };
}

/** URLs as the clients ask for them, and what they are to get. */
const fetched: readonly (readonly [client: string, path: string, text: string])[] = [
  ['the microkernel', '/common/vmlinuz-3.16.0-25-generic', 'linux'],
  ['a Dell switch, at the root', '/PKGS_OS10-10.0.0_x86_64.bin', 'os10'],
  ['firmware that asks with two slashes', '//common/vmlinuz-3.16.0-25-generic', 'linux'],
  ['SUSE, whose repository keeps its slash', '/ubuntu/14.04//linux', 'the kernel'],
  ['casper, through the link that Ubuntu has', '/ubuntu/14.04/ubuntu/ubuntu/filesystem.squashfs', 'hsqs'],
  ['choose-mirror', '/ubuntu/14.04/./Release', 'Suite'],
  ['ESXi, in lower case', '/esxi/6.5/boot.cfg', 'kernel=b.b00'],
  ['ESXi, in upper case', '/ESXi/6.5/BOOT.CFG', 'kernel=b.b00'],
  ['ESXi, its modules', '/esxi/6.5/b.b00', 'esxi'],
  ['ESXi, from a repository with a slash', '/ESXi/6.5//mboot.c32', 'mboot'],
  ['Anaconda', '/CentOS/7/.treeinfo', '[general]'],
  ['wimboot', '/winpe/boot/bcd', 'bcd'],
  ['a name with plus', '/common/c++.img', 'plus'],
  ['a query of no meaning', '/ubuntu/14.04/linux?arch=x86_64', 'the kernel'],
];

t.test('what nodes ask for is there, under the name by which they ask, and never a redirect', async (t) => {
  const { south } = await start(t);
  for (const [client, path, text] of fetched) {
    const answer = await ask(south, path);
    t.same([answer.status, answer.text], [200, text], `${client}: ${path}`);
    t.notHas(answer.headers, 'location');
    const head = await ask(south, path, { method: 'HEAD' });
    t.same({ ...head.headers, date: '' }, { ...answer.headers, date: '' });
    t.equal(head.headers['content-length'], String(Buffer.byteLength(text)));
    t.equal(head.headers['accept-ranges'], 'bytes');
    t.ok(head.headers['last-modified']);
  }
});

t.test('no field of any answer is empty, and a header is small', async (t) => {
  const { south } = await start(t);
  const ranged = 'Range: bytes=0-1\r\n';
  const requests = [
    ...fetched.map(([, path]) => `GET ${path} HTTP/1.1\r\nHost: a`),
    ...['HEAD /ubuntu/14.04/linux HTTP/1.1\r\nHost: a', 'GET / HTTP/1.1\r\nHost: a', 'GET /none HTTP/1.1\r\nHost: a'],
    ...['GET /ubuntu HTTP/1.1\r\nHost: a', 'OPTIONS / HTTP/1.1\r\nHost: a', 'PUT /x HTTP/1.1\r\nHost: a'],
    ...[
      'GET /%zz HTTP/1.1\r\nHost: a',
      'GET /ubuntu/14.04/linux HTTP/1.0',
      `GET /ubuntu/14.04/linux HTTP/1.0\r\n${ranged}Host: a`,
    ],
    ...[
      `GET /ubuntu/14.04/linux HTTP/1.1\r\n${ranged}Host: a`,
      'GET /ubuntu/14.04/linux HTTP/1.1\r\nRange: bytes=99-\r\nHost: a',
    ],
    'GET /ubuntu/14.04/linux HTTP/1.1\r\nIf-None-Match: *\r\nHost: a',
  ];
  for (const request of requests) {
    const { status, fields } = await fieldsOf(south, request);
    t.ok(status >= 200 && status < 500, request);
    for (const field of fields) t.match(field, /^[A-Za-z-]+: \S/, request);
    t.ok(fields.join('\r\n').length < 700, `${fields.join('\r\n').length} characters: ${request}`);
    const names = fields.map((field) => field.split(':')[0]);
    for (const name of ['Content-Encoding', 'Content-Disposition', 'Set-Cookie', 'Server']) {
      t.notOk(names.includes(name), `${name}: ${request}`);
    }
    t.equal(new Set(names).size, names.length, 'no field comes twice');
  }
});

t.test('a file is never chunked or encoded, whatever the client says that it takes', async (t) => {
  const { south } = await start(t);
  for (const path of ['/ubuntu/14.04/initrd.gz', '/common/discovery.overlay.cpio.gz', '/ubuntu/14.04/Release']) {
    const plain = await ask(south, path);
    const { status, headers, body } = await ask(south, path, {
      headers: { 'accept-encoding': 'gzip, deflate, br, zstd', accept: 'text/html', te: 'trailers' },
    });
    t.equal(status, 200);
    t.ok(body.equals(plain.body));
    t.equal(headers['content-length'], String(body.length));
    t.notHas(headers, 'content-encoding');
    t.notHas(headers, 'transfer-encoding');
  }
});

t.test('a Host is anything, and a target may be absolute', async (t) => {
  const { south } = await start(t);
  for (const host of ['a', '172.31.128.1:9090', '[fe80::1]', 'localhost', '', 'a_b.c', '../../etc', 'a, b']) {
    for (const target of ['/ubuntu/14.04/linux', 'http://172.31.128.1:9090/ubuntu/14.04/linux']) {
      const { status, body } = await fieldsOf(south, `GET ${target} HTTP/1.1\r\nHost: ${host}`);
      t.same([status, body], [200, 'the kernel'], `${target} of ${host}`);
    }
  }
  t.equal((await fieldsOf(south, 'GET /ubuntu/14.04/linux HTTP/1.0')).body, 'the kernel', 'none at all');
});

t.test('iPXE reads a disk by blocks: sizes from HEAD, then every range exact', async (t) => {
  const { south } = await start(t);
  const path = '/iso/ubuntu-14.04.iso';
  const { headers } = await ask(south, path, { method: 'HEAD' });
  const size = Number(headers['content-length']);
  const whole = (await ask(south, path)).body;
  t.equal(whole.length, size);
  for (let block = 0; block < size / 512; block += 37) {
    const [start, end] = [block * 512, block * 512 + 511];
    const { status, body } = await ask(south, path, { headers: { range: `bytes=${start}-${end}` } });
    if (status !== 206 || !body.equals(whole.subarray(start, end + 1))) t.fail(`block ${block}: ${status}`);
  }
  t.equal((await ask(south, path, { headers: { range: 'bytes=u-u' } })).status, 416, 'never the whole disk');
});

t.test("RackHD's own test: every file answers HEAD, and nothing is there after DELETE", async (t) => {
  const { north, south } = await start(t);
  const entries = json(await ask(south, '/ESXi/6.5/?format=json')) as { name: string }[];
  t.equal(entries.length, 3);
  for (const { name } of entries) {
    t.equal((await ask(south, `/ESXi/6.5/${encodeURIComponent(name)}`, { method: 'HEAD' })).status, 200, name);
  }
  for (const [name, version] of [
    ['ESXi', '6.5'],
    ['ubuntu', '14.04'],
    ['centos', '7'],
  ] as const) {
    // prettier-ignore
    const path = `/images?name=${name}&version=${version}`;
    const headers = { 'content-type': 'application/json' };
    t.equal((await ask(north, path, { method: 'DELETE', body: '[]', headers })).status, 200);
    t.equal((await ask(south, `/${name}/${version}/`, { method: 'HEAD' })).status, 404);
  }
  t.same(json(await ask(north, '/images')), []);
});
