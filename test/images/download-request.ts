import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { connect, createServer, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import type { FarEndOptions } from '../../lib/images/download-far-end.js';
import { isOwnAddress } from '../../lib/images/download-hosts.js';
import { request, type Answer } from '../../lib/images/download-request.js';
import { checkDownloadUrl } from '../../lib/images/download-url.js';
import { farEnd, type Far } from '../fixtures/download-server.js';

function ask(url: string, changed: Partial<FarEndOptions> = {}): Promise<Answer> {
  const { signal } = new AbortController();
  return request(checkDownloadUrl(url), {}, { signal, idleTimeout: 5000, ...changed });
}

async function textOf(url: string, changed: Partial<FarEndOptions> = {}): Promise<string> {
  return text((await ask(url, changed)).response);
}

t.test('user and password of the URL are sent as Basic credentials', async (t) => {
  const far = await farEnd(t, (_request, response) => response.end('x'));
  await textOf(far.url.replace('http://', 'http://us%40er:p%C3%A9@'));
  t.equal(far.headers[0]?.authorization, `Basic ${Buffer.from('us@er:pé').toString('base64')}`);
  t.equal(far.headers[0]?.host, new URL(far.url).host);
});

t.test('every kind of redirect is followed, up to five of them', async (t) => {
  const statuses = [301, 302, 303, 307, 308];
  const far = await farEnd(t, (request, response) => {
    const left = Number(request.url?.slice(1));
    if (left === 0) response.end('found');
    else response.writeHead(statuses[left % 5] ?? 0, { Location: `${left - 1}` }).end('moved');
  });
  t.equal(await textOf(`${far.url}/5`), 'found');
  t.equal(far.headers.length, 6);
  await t.rejects(ask(`${far.url}/6`), { code: 'BAD_GATEWAY', message: /redirects more than 5 times/ });
});

t.test('a redirect leads only to http and https', async (t) => {
  for (const location of ['file:///etc/passwd', 'ftp://h/x', 'http://', 'http://u%zz:secret@h/']) {
    const far = await farEnd(t, (_request, response) => response.writeHead(302, { Location: location }).end());
    await t.rejects(
      ask(far.url),
      {
        code: 'BAD_GATEWAY',
        message: /^127\.0\.0\.1:\d+ redirects (to something that is not allowed|from http to ftp)$/,
      },
      location,
    );
  }
  const bare = await farEnd(t, (_request, response) => response.writeHead(302).end());
  const { response } = await ask(bare.url);
  t.equal(response.statusCode, 302, 'one that leads nowhere is an answer');
  response.destroy();
});

t.test('a redirect keeps credentials on the same host, and gives them to no other', async (t) => {
  const other = await farEnd(t, (_request, response) => response.end('other'));
  const far = await farEnd(t, (request, response) => {
    if (request.url === '/same') response.writeHead(302, { Location: '/found' }).end();
    else if (request.url === '/own') {
      response.writeHead(302, { Location: other.url.replace('http://', 'http://own:key@') }).end();
    } else if (request.url === '/other') response.writeHead(302, { Location: other.url }).end();
    else response.end('found');
  });
  const url = far.url.replace('http://', 'http://user:secret@');
  const basic = (credentials: string) => `Basic ${Buffer.from(credentials).toString('base64')}`;
  for (const path of ['/same', '/other', '/own']) await textOf(url + path);
  const sent = basic('user:secret');
  t.same(
    far.headers.map((header) => header.authorization),
    [sent, sent, sent, sent],
  );
  t.same(
    other.headers.map((header) => header.authorization),
    [undefined, basic('own:key')],
  );
});

/** Says that every name is at one address; the connection goes to this machine all the same. */
function lookupOf(addresses: Readonly<Record<string, string>>, asked: string[] = []): LookupFunction {
  return (hostname, options, callback) => {
    asked.push(hostname);
    const address = addresses[hostname] ?? '192.0.2.1';
    const family = address.includes(':') ? 6 : 4;
    if (options.all) callback(null, [{ address, family }] satisfies LookupAddress[]);
    else callback(null, address, family);
  };
}

/** An address of this machine that is neither loopback nor link-local. */
function outsideAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ address, family }) => family === 'IPv4' && !isOwnAddress(address))?.address;
}

/** Another way to the same server, by an address that is not loopback. */
async function outsideEnd(t: Test, address: string, far: Far): Promise<string> {
  const { port } = new URL(far.url);
  const way = createServer((socket) => {
    const inside = connect(Number(port), '127.0.0.1');
    socket.pipe(inside).pipe(socket);
    for (const end of [socket, inside]) end.on('error', () => undefined);
  });
  way.listen(0, address);
  await once(way, 'listening');
  t.teardown(() => way.close());
  const at = way.address();
  return `http://${address}:${typeof at === 'object' ? at?.port : ''}`;
}

function redirecting(t: Test, location: () => string): Promise<Far> {
  return farEnd(t, (request, response) => {
    if (request.url === '/found') response.end('found');
    else response.writeHead(302, { Location: location() }).end();
  });
}

t.test('a host that is not listed is not asked, neither at first nor after a redirect', async (t) => {
  const other = await farEnd(t, (_request, response) => response.end('other'));
  const far = await redirecting(t, () => other.url);
  const host = new URL(far.url).host;
  const refusal = (name: string) => ({
    code: 'FORBIDDEN',
    message: `Downloads from ${name} are not allowed: isoWebHosts does not list it`,
  });
  await t.rejects(ask(far.url.replace('//', '//user:secret@'), { hosts: ['mirror.example.com'] }), refusal(host));
  await t.rejects(ask(far.url, { hosts: [] }), refusal(host));
  t.equal(far.headers.length, 0);
  await t.rejects(ask(far.url, { hosts: [host] }), refusal(new URL(other.url).host));
  t.equal(other.headers.length, 0);
  t.equal(await textOf(far.url, { hosts: ['127.0.0.1'] }), 'other');
});

t.test('a download from this machine may lead to this machine', async (t) => {
  const far = await redirecting(t, () => '/found');
  t.equal(await textOf(far.url), 'found');
  const lookup = lookupOf({ 'here.example.com': '127.0.0.1' });
  const named = far.url.replace('127.0.0.1', 'here.example.com');
  t.equal(await textOf(named, { lookup }), 'found', 'also by a name that is looked up');
});

// By its other addresses this machine is like any other.
const outside = outsideAddress() ?? '';
const elsewhere = outside === '' ? { skip: 'this machine has no address but loopback' } : {};

t.test('a redirect from elsewhere leads to no service of this machine', elsewhere, async (t) => {
  const inner = await farEnd(t, (_request, response) => response.end('inner'));
  const { port } = new URL(inner.url);
  const places = [
    inner.url,
    `http://localhost:${port}/`,
    `http://rebound.example.com:${port}/`,
    `http://2130706433:${port}/`,
    `http://0:${port}/`,
    `http://[::1]:${port}/`,
    `http://[::]:${port}/`,
    `http://[::ffff:127.0.0.1]:${port}/`,
    'http://169.254.169.254/latest',
    'https://[fe80::1]/',
  ];
  const lookup = lookupOf({ localhost: '::1', 'rebound.example.com': '127.0.0.1' });
  let place = '';
  const far = await redirecting(t, () => place);
  const proxy = await outsideEnd(t, outside, far);
  for (place of places) {
    await t.rejects(
      ask(proxy, { lookup }),
      { code: 'FORBIDDEN', message: /^A redirect to \S+ is not allowed: .* isoWebHosts does not list it$/ },
      place,
    );
  }
  t.equal(inner.headers.length, 0);
  place = `http://rebound.example.com:${port}/`;
  const below = [outside, '*.example.com'];
  await t.rejects(ask(proxy, { lookup, hosts: below }), { code: 'FORBIDDEN' }, 'listed only with all below a name');
  t.equal(await textOf(proxy, { lookup, hosts: [outside, 'rebound.example.com'] }), 'inner', 'named by the operator');
  place = inner.url;
  t.equal(await textOf(proxy, { hosts: [outside, `127.0.0.1:${port}`] }), 'inner', 'named by the operator');
  place = `${proxy}/found`;
  t.equal(await textOf(proxy), 'found', 'elsewhere leads to elsewhere');
});
