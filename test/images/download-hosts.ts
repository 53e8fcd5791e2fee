import type { LookupAddress, LookupOptions } from 'node:dns';
import type { LookupFunction } from 'node:net';
import t from 'tap';
import { checkHost, guardedLookup, isNamed, isOwnAddress } from '../../lib/images/download-hosts.js';

t.test('a download comes from a host that is listed, or from any where there is no list', (t) => {
  const cases: [hosts: string[] | undefined, url: string, isAllowed: boolean, isNamed: boolean][] = [
    [undefined, 'http://h/', true, false],
    [[], 'http://h/', false, false],
    [['a', 'h'], 'http://h/', true, true],
    [['h'], 'http://H:8080/', true, true],
    [['h'], 'http://h./', true, true],
    [['h'], 'ftp://h/x', true, true],
    [['h'], 'http://hh/', false, false],
    [['h'], 'http://a.h/', false, false],
    [['h:80'], 'http://h/', true, true],
    [['h:80'], 'https://h/', false, false],
    [['h:443'], 'https://h/', true, true],
    [['h:21'], 'ftp://h/x', true, true],
    [['h:8080'], 'http://h:8080/', true, true],
    [['h:8080'], 'http://h:80/', false, false],
    [['*.h.org'], 'http://a.h.org/', true, false],
    [['*.h.org'], 'http://b.a.h.org/', true, false],
    [['*.h.org'], 'http://h.org/', false, false],
    [['*.h.org'], 'http://ah.org/', false, false],
    [['*.h.org:8080'], 'http://a.h.org:8080/', true, false],
    [['*.h.org:8080'], 'http://a.h.org/', false, false],
    [['127.0.0.1'], 'http://2130706433/', true, true],
    [['[::1]'], 'http://[0:0::1]:8080/', true, true],
    [['[::1]:8080'], 'http://[::1]:8080/', true, true],
    [['[::1]:8080'], 'http://[::1]/', false, false],
    [['xn--bcher-kva.example'], 'http://bücher.example/', true, true],
  ];
  for (const [hosts, text, isAllowed, named] of cases) {
    const url = new URL(text);
    const message = `Downloads from ${url.host} are not allowed: isoWebHosts does not list it`;
    if (isAllowed) t.doesNotThrow(() => checkHost(url, hosts), `${hosts?.join()} ${text}`);
    else t.throws(() => checkHost(url, hosts), { code: 'FORBIDDEN', message }, `${hosts?.join()} ${text}`);
    t.equal(isNamed(url, hosts), named, `${hosts?.join()} ${text}`);
  }
  t.end();
});

t.test('loopback, link-local and unspecified addresses are known in every notation', (t) => {
  const own = ['127.0.0.1', '127.255.255.255', '169.254.169.254', '0.0.0.0', '0.1.2.3', '::1', '::', 'fe80::1'];
  const mapped = ['febf::1', 'fe80::1%eth0', '::ffff:127.0.0.1', '::ffff:7f00:1', '::FFFF:169.254.1.1', '::ffff:0:0'];
  for (const address of [...own, ...mapped]) t.ok(isOwnAddress(address), address);
  const others = [
    '126.255.255.255',
    '128.0.0.1',
    '169.253.0.1',
    '1.0.0.0',
    '10.0.0.1',
    '192.168.1.1',
    '::2',
    'fec0::1',
  ];
  for (const address of [...others, '2001:db8::1', '::ffff:10.0.0.1', 'localhost', '']) {
    t.notOk(isOwnAddress(address), address);
  }
  t.end();
});

/** What a guarded lookup says when the system says this. */
function guarded(found: Error | string | LookupAddress[], options: LookupOptions): Promise<unknown> {
  const lookup: LookupFunction = (_name, _options, callback) => {
    if (found instanceof Error) callback(found, '');
    else callback(null, found, 4);
  };
  return new Promise((resolve) => {
    guardedLookup(new URL('http://h.example/'), lookup)('h.example', options, (error, address) =>
      resolve(error ?? address),
    );
  });
}

t.test('a name that leads here is refused, with any one of its addresses', async (t) => {
  const refusal = { code: 'FORBIDDEN', message: /^A redirect to h\.example is not allowed/ };
  const far = { address: '192.0.2.1', family: 4 };
  t.equal(await guarded('192.0.2.1', {}), '192.0.2.1');
  t.same(await guarded([far], { all: true }), [far]);
  t.match(await guarded('127.0.0.1', {}), refusal);
  t.match(await guarded([far, { address: '::1', family: 6 }], { all: true }), refusal);
  const unknown = Object.assign(new Error('no'), { code: 'ENOTFOUND' });
  t.equal(await guarded(unknown, { all: true }), unknown);
});

t.test('an address needs no lookup to be refused', (t) => {
  for (const url of ['http://127.0.0.1/', 'http://[::1]/', 'http://0x7f.1/', 'http://169.254.169.254/']) {
    t.throws(() => guardedLookup(new URL(url)), { code: 'FORBIDDEN' }, url);
  }
  t.doesNotThrow(() => guardedLookup(new URL('http://192.0.2.1/')));
  t.end();
});
