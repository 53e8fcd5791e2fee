import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import t from 'tap';
import { type Config, type Environment, readConfig } from '../lib/config.js';
import { ServiceError } from '../lib/errors.js';

const defaults: Config = {
  httpEndpoints: [
    { address: '0.0.0.0', port: 7070, routers: ['northbound'] },
    { address: '0.0.0.0', port: 9090, routers: ['southbound'] },
  ],
  httpFileServiceRootDir: '/srv/static',
  httpFileServiceApiRoot: '/',
  isoDir: '/srv/static/iso',
  microkernelDir: '/srv/static/common',
  inventoryFile: '/srv/inventory.json',
  httpTimeout: 86_400_000,
  minLogLevel: 0,
  logFormat: 'text',
  logFile: undefined,
  southboundWait: 60_000,
  southboundAllow: undefined,
  isoLocalDirs: undefined,
  isoWebHosts: undefined,
  systemsFile: undefined,
  publicUrl: undefined,
  bootDefault: undefined,
  bootTimeout: 10_000,
  tlsCaFile: undefined,
  authFile: undefined,
  corsOrigins: [],
  maxUploadBytes: undefined,
  minFreeBytes: 104_857_600,
  downloads: 4,
  uploadTtl: 86_400_000,
  stopTimeout: 10_000,
  southboundWorkers: Math.min(availableParallelism(), 4),
  user: undefined,
  chunkCache: 134_217_728,
  maxConnections: 8192,
  rateLimit: 0,
  mount: { driver: 'direct', dir: '/srv/mounts', maxEntries: 1_000_000 },
};

function read(values: unknown, environment: Environment = {}): Config {
  return readConfig(JSON.stringify(values), '/srv', environment, 'config.json');
}

/** What the operator is told, line by line. */
function problems(text: string | undefined, environment: Environment = {}): string[] {
  try {
    readConfig(text, '/srv', environment, 'config.json');
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'BAD_REQUEST') return error.message.split('\n');
    throw error;
  }
  return [];
}

function problem(values: unknown, environment: Environment = {}): string {
  const [first = 'accepted', ...more] = problems(JSON.stringify(values), environment);
  return more.length === 0 ? first : `${more.length + 1} problems`;
}

const north = { address: '0.0.0.0', port: 7070, routers: 'northbound' };
const south = { address: '0.0.0.0', port: 9090, routers: 'southbound' };

t.test('without a file or with an empty one, the documented defaults hold', (t) => {
  t.same(readConfig(undefined, '/srv', {}, 'config.json'), defaults);
  t.same(read({}), defaults);
  t.end();
});

t.test('the file that comes with the service says the defaults, and a quieter log', async (t) => {
  const text = await readFile(new URL('../../etc/config.json', import.meta.url), 'utf8');
  t.same(readConfig(text, '/srv', {}, 'config.json'), { ...defaults, minLogLevel: 1 });
});

t.test('a documented configuration loads, with its digits in a string', (t) => {
  const config = read({
    httpEndpoints: [
      { address: '127.0.0.1', port: '8070', routers: ['northbound', 'southbound'] },
      { address: '::1', port: 0, routers: ['southbound'] },
      { address: 'images.example.com', port: 65535, routers: 'southbound' },
    ],
    httpFileServiceRootDir: './files',
    httpFileServiceApiRoot: '/files/v1.0',
    isoDir: '/isos',
    microkernelDir: '../kernels',
    inventoryFile: 'state/inventory.json',
    httpTimeout: '3600000',
    minLogLevel: '5',
    southboundWait: 0,
    isoLocalDirs: ['/mnt/a', 'b/'],
    isoWebHosts: ['Mirror.Example.com', '*.example.org:8443'],
    tlsCaFile: 'tls/ca.pem',
    downloads: '2',
    uploadTtl: 0,
    stopTimeout: 0,
    southboundWorkers: '0',
    user: 'www-data',
    chunkCache: '1000000',
    maxConnections: '100',
    rateLimit: '5000',
    mount: { driver: 'loop', dir: 'mounted', maxEntries: '5000' },
  });
  t.same(config, {
    httpEndpoints: [
      { address: '127.0.0.1', port: 8070, routers: ['northbound', 'southbound'] },
      { address: '::1', port: 0, routers: ['southbound'] },
      { address: 'images.example.com', port: 65535, routers: ['southbound'] },
    ],
    httpFileServiceRootDir: '/srv/files',
    httpFileServiceApiRoot: '/files/v1.0/',
    isoDir: '/isos',
    microkernelDir: '/kernels',
    inventoryFile: '/srv/state/inventory.json',
    httpTimeout: 3_600_000,
    minLogLevel: 5,
    logFormat: 'text',
    logFile: undefined,
    southboundWait: 0,
    southboundAllow: undefined,
    isoLocalDirs: ['/mnt/a', '/srv/b'],
    isoWebHosts: ['mirror.example.com', '*.example.org:8443'],
    systemsFile: undefined,
    publicUrl: undefined,
    bootDefault: undefined,
    bootTimeout: 10_000,
    tlsCaFile: '/srv/tls/ca.pem',
    authFile: undefined,
    corsOrigins: [],
    maxUploadBytes: undefined,
    minFreeBytes: 104_857_600,
    downloads: 2,
    uploadTtl: 0,
    stopTimeout: 0,
    southboundWorkers: 0,
    user: 'www-data',
    chunkCache: 1_000_000,
    maxConnections: 100,
    rateLimit: 5000,
    mount: { driver: 'loop', dir: '/srv/mounted', maxEntries: 5000 },
  });
  t.end();
});

t.test('what belongs to mount is read from its object or from variables, and misspelt members are named', (t) => {
  t.same(read({ mount: {} }).mount, defaults.mount);
  t.same(
    read({ mount: { dir: '/m' } }, { IMAGE_SERVICE_MOUNT_DRIVER: 'auto', IMAGE_SERVICE_MOUNT_MAX_ENTRIES: '2000' })
      .mount,
    {
      driver: 'auto',
      dir: '/m',
      maxEntries: 2000,
    },
  );
  t.match(problem({ mount: 'loop' }), /^config.json: mount: "loop" .* a JSON object/);
  t.match(
    problem({ mount: { driver: 'lop' } }),
    /^config.json: mount.driver: "lop" .* one of direct, loop, fuse, auto/,
  );
  t.match(problem({ mount: { drivers: 'loop' } }), /^config.json: mount.drivers: unknown key/);
  t.match(problem({ mount: { maxEntries: 10 } }), /mount.maxEntries: 10 .* from 1000/);
  const places = ['./static/iso', './static/iso/x', './static', '.', '/', '/srv/static/common/a/b', '/srv/static/sub'];
  for (const dir of places) {
    t.match(
      problem({ mount: { driver: 'fuse', dir } }),
      /^mount.dir: .* a folder of its own, neither in \w+ nor around/,
    );
    t.equal(read({ mount: { dir } }).mount.driver, 'direct', 'which mounts nothing');
  }
  t.equal(read({ mount: { driver: 'loop', dir: '/srv/static-mounts' } }).mount.dir, '/srv/static-mounts');
  t.end();
});

t.test('isoLocalDirs: null is any folder, an empty list is none', (t) => {
  t.equal(read({ isoLocalDirs: null }).isoLocalDirs, undefined);
  t.same(read({ isoLocalDirs: [] }).isoLocalDirs, []);
  t.end();
});

t.test('isoWebHosts: null is any host, an empty list is none, and every host has one notation', (t) => {
  t.equal(read({ isoWebHosts: null }).isoWebHosts, undefined);
  t.same(read({ isoWebHosts: [] }).isoWebHosts, []);
  const cases: [written: string, read: string][] = [
    ['localhost', 'localhost'],
    ['Mirror.Example.COM.', 'mirror.example.com'],
    ['mirror:80', 'mirror:80'],
    ['*.Example.com:8080', '*.example.com:8080'],
    ['bücher.example', 'xn--bcher-kva.example'],
    ['10.0.0.1', '10.0.0.1'],
    ['0x7f.1:443', '127.0.0.1:443'],
    ['[::1]', '[::1]'],
    ['[FE80:0::1]:8080', '[fe80::1]:8080'],
  ];
  for (const [written, expected] of cases) t.same(read({ isoWebHosts: [written] }).isoWebHosts, [expected], written);
  const refused = [
    '',
    ' ',
    1,
    null,
    'a/b',
    'http://a',
    'user@a',
    'a:b',
    'a:65536',
    'a:',
    '*',
    '*.',
    'a.*',
    '*a',
    '%61',
  ];
  for (const value of [...refused, '::1', '[::g]', '10.0.0.256', '*.10.0.0.1', 'a b', '.', 'a?', 'a#', 'a\\b']) {
    t.match(
      problem({ isoWebHosts: ['a', value] }),
      /^config\.json: isoWebHosts\[1\]: .* is not allowed; it must be a host name, \*\.example\.com for all below/,
      JSON.stringify(value),
    );
  }
  t.end();
});

t.test('a file that starts with a byte order mark loads', (t) => {
  t.equal(readConfig('\ufeff{"minLogLevel": 2}', '/srv', {}, 'config.json').minLogLevel, 2);
  t.end();
});

t.test('a file that is no JSON object is refused', (t) => {
  for (const text of ['', '{', '{"minLogLevel": }', "{'minLogLevel': 1}"]) {
    t.match(problems(text), [/^config\.json: not JSON: ./], text);
  }
  for (const text of ['[]', 'null', '1', '"a"']) {
    t.same(problems(text), [`config.json: ${text} is not allowed; it must be a JSON object`]);
  }
  t.end();
});

t.test('an unknown key is named, with its value and the keys that there are', (t) => {
  t.match(
    problem({ isoDirr: '/a' }),
    /^config\.json: isoDirr: unknown key, with the value "\/a"; the keys are httpEndpoints, .*isoDir, .*mount.maxEntries$/,
  );
  for (const key of ['ISODir', 'constructor', 'toString', '']) {
    t.match(problem({ [key]: 1 }), new RegExp(`^config\\.json: ${key}: unknown`), key);
  }
  t.match(problems('{"__proto__": {"isoDir": "/a"}}'), [/^config\.json: __proto__: unknown/]);
  t.end();
});

t.test('a value of the wrong type or out of range is named, with what is allowed', (t) => {
  const isPath = 'a path, absolute or relative to the root folder of the service';
  const isTime = (least: number) => `milliseconds from ${least} to 2147483647, a number or a string of digits`;
  const cases: [key: keyof Config, values: unknown[], allowed: string][] = [
    ['httpFileServiceRootDir', ['', 1, null, {}, 'a\0b'], isPath],
    ['isoDir', ['', 1, null, ['a']], isPath],
    ['microkernelDir', ['', false], isPath],
    ['inventoryFile', ['', 0], isPath],
    [
      'httpTimeout',
      [0, -1, 1.5, '', ' 1', '1s', '-1', '1e3', '0x10', null, true, [1], 2 ** 31, '9'.repeat(40)],
      isTime(1),
    ],
    ['southboundWait', [-1, 'soon', 2 ** 31], isTime(0)],
    ['stopTimeout', [-1, 'soon', 2 ** 31], isTime(0)],
    ['minLogLevel', [-1, 6, '6', 'debug', 0.5], 'a level from 0 to 5, a number or a string of digits'],
    ['isoLocalDirs', ['/a', 1, {}], 'a list of paths, or null for any'],
    ['isoWebHosts', ['a', 1, {}, false], 'a list of hosts, or null for any'],
    ['tlsCaFile', ['', 1, [], false], isPath],
    [
      'publicUrl',
      ['h:9090', 'ftp://h', 'http://u:p@h', 'http://h?x', "http://h/'", 1],
      'a URL such as http://10.1.0.1:9090, of http or https, without user, query and fragment',
    ],
    ['bootDefault', ['a', 'a/b/c', '/b', 1], 'NAME/VERSION of an image'],
    ['bootTimeout', [-1, 'x'], isTime(0)],
    ['logFormat', ['xml', '', 1, null], 'one of text, json'],
    ['logFile', ['', 1, []], isPath],
    ['authFile', ['', 1, []], isPath],
    ['southboundAllow', ['10.0.0.0/8', 1, {}], 'a list of networks, or null for any'],
    ['corsOrigins', ['*', null, {}], 'a list of origins'],
    ['maxUploadBytes', [0, -1, '4G'], 'bytes from 1 to 9007199254740991, a number or a string of digits'],
    ['minFreeBytes', [-1, '1G', null], 'bytes from 0 to 9007199254740991, a number or a string of digits'],
    ['downloads', [0, 101, -1, 1.5, 'many', null], 'a whole number from 1 to 100, a number or a string of digits'],
    ['uploadTtl', [-1, 'soon', 2 ** 31], isTime(0)],
    ['southboundWorkers', [-1, 65, 1.5, 'all'], 'processes from 0 to 64, a number or a string of digits'],
    ['user', ['', 'a b', '../x', -1, true, []], 'the name or the number of a user'],
    ['chunkCache', [-1, '64M', null], 'bytes from 0 to 1099511627776, a number or a string of digits'],
    ['maxConnections', [0, -1, null], 'connections from 1 to 1000000, a number or a string of digits'],
    ['rateLimit', [-1, '10M', null], 'bytes a second from 0 to 1099511627776, a number or a string of digits'],
    [
      'httpFileServiceApiRoot',
      ['', 'files', '//', '/a//b', '/..', '/a/./b', '/a b', '/a?b', '/%61', 1, null],
      'a URL path: / or /name, of letters, digits and - . _ ~',
    ],
    ['httpEndpoints', [[], {}, 'northbound', 1, null], 'a list of at least one endpoint'],
  ];
  for (const [key, values, allowed] of cases) {
    for (const value of values) {
      const expected = `config.json: ${key}: ${JSON.stringify(value)} is not allowed; it must be ${allowed}`;
      t.equal(problem({ [key]: value }), expected, `${key} ${JSON.stringify(value)}`);
    }
  }
  t.match(
    problem({ isoLocalDirs: ['/a', 2] }),
    /^config\.json: isoLocalDirs\[1\]: 2 is not allowed; it must be a path/,
  );
  t.end();
});

t.test('networks are addresses or CIDR, and origins have no path', (t) => {
  const allowed = ['10.0.0.1', '10.0.0.0/8', '0.0.0.0/0', '::1', 'fd00::/8', '::ffff:10.0.0.0/104'];
  t.same(read({ southboundAllow: allowed }).southboundAllow, allowed);
  t.equal(read({ southboundAllow: null }).southboundAllow, undefined);
  for (const value of [
    '10.0.0/8',
    '10.0.0.0/33',
    'fd00::/129',
    '10.0.0.0/',
    '10.0.0.0/8/8',
    'host',
    '',
    'fe80::1%eth0',
    1,
  ]) {
    t.match(problem({ southboundAllow: [value] }), /southboundAllow\[0\]: .* must be an IP address or a network/);
  }
  t.same(read({ corsOrigins: ['https://A.example.com:443', 'http://[::1]:80'] }).corsOrigins, [
    'https://a.example.com',
    'http://[::1]',
  ]);
  for (const value of ['*', 'null', 'a.example.com', 'https://a/b', 'https://u@a', 'ftp://a', '', 1]) {
    t.match(problem({ corsOrigins: ['https://a', value] }), /corsOrigins\[1\]: .* must be an origin/, String(value));
  }
  t.end();
});

t.test('an endpoint may have certificates, with paths like all others', (t) => {
  const tls = { cert: 'tls/cert.pem', key: '/etc/key.pem', ca: 'ca.pem' };
  const { httpEndpoints } = read({ httpEndpoints: [{ ...north, tls }, south] });
  t.same(httpEndpoints[0]?.tls, { cert: '/srv/tls/cert.pem', key: '/etc/key.pem', ca: '/srv/ca.pem' });
  t.notOk('tls' in (httpEndpoints[1] ?? {}));
  t.end();
});

t.test('a mistake in an endpoint is named with its place', (t) => {
  const cases: [change: object, expected: RegExp][] = [
    [{ port: 65536 }, /\[0\]\.port: 65536 is not allowed; it must be a port from 0 to 65535/],
    [{ port: -1 }, /\[0\]\.port: -1/],
    [{ port: 'http' }, /\[0\]\.port: "http"/],
    [{ port: undefined }, /\[0\]\.port: nothing is not allowed/],
    [{ address: undefined }, /\[0\]\.address: nothing .* must be an IP address or a host name/],
    [{ address: '' }, /\[0\]\.address: ""/],
    [{ address: '10.0.0.256' }, /\[0\]\.address: "10\.0\.0\.256"/],
    [{ address: 'http://a' }, /\[0\]\.address: /],
    [{ address: 'a b' }, /\[0\]\.address: /],
    [{ address: 1 }, /\[0\]\.address: 1 /],
    [{ routers: undefined }, /\[0\]\.routers: nothing .* must be "northbound", "southbound" or a list of both/],
    [{ routers: 'eastbound' }, /\[0\]\.routers: "eastbound"/],
    [{ routers: [] }, /\[0\]\.routers: \[\]/],
    [{ routers: ['northbound', 'x'] }, /\[0\]\.routers: \["northbound","x"\]/],
    [{ routers: ['northbound', 'northbound'] }, /\[0\]\.routers: /],
    [{ routers: { northbound: true } }, /\[0\]\.routers: /],
    [{ ssl: true }, /\[0\]\.ssl: unknown key, with the value true; the keys are address, port, routers, tls$/],
    [{ tls: true }, /\[0\]\.tls: true .* must be an object with cert, key and, if clients need certificates, ca$/],
    [{ tls: { cert: 'a' } }, /\[0\]\.tls\.key: nothing is not allowed; it must be a path/],
    [{ tls: { cert: 'a', key: 'b', ca: '' } }, /\[0\]\.tls\.ca: "" is not allowed; it must be a path/],
    [{ tls: { cert: 'a', key: 'b', chain: 'c' } }, /\[0\]\.tls\.chain: unknown key, .* are cert, key, ca$/],
  ];
  for (const [change, expected] of cases) {
    t.match(problem({ httpEndpoints: [{ ...north, ...change }, south] }), expected, JSON.stringify(change));
  }
  t.match(problem({ httpEndpoints: [north, south, 'x'] }), /httpEndpoints\[2\]: "x" .* an object with address, port/);
  t.end();
});

t.test('both routers have to be served, and no two endpoints at one address and port', (t) => {
  t.match(problem({ httpEndpoints: [north] }), /^httpEndpoints: .* has the router "southbound"$/);
  t.match(problem({ httpEndpoints: [south] }), /^httpEndpoints: .* has the router "northbound"$/);
  t.match(
    problem({ httpEndpoints: [north, { ...south, port: '7070' }] }),
    /^httpEndpoints: "0\.0\.0\.0 port 7070" is not allowed; it must be used by one endpoint only$/,
  );
  const localhost = { ...north, address: 'localhost' };
  t.match(
    problem({ httpEndpoints: [localhost, { ...south, address: 'LOCALHOST', port: 7070 }] }),
    /localhost port 7070/,
  );
  const anyPort = [
    { ...north, port: 0 },
    { ...south, port: 0 },
  ];
  t.match(read({ httpEndpoints: anyPort }).httpEndpoints, [{ port: 0 }, { port: 0 }], 'any free port, twice');
  t.match(read({ httpEndpoints: [{ ...north, routers: ['southbound', 'northbound'] }] }), {
    httpEndpoints: { length: 1 },
  });
  t.end();
});

t.test('everything that is wrong is said at once, a line each', (t) => {
  const bad = {
    httpEndpoints: [{ ...north, port: 'x', address: '' }, 1],
    minLogLevel: 9,
    isoLocalDirs: [1, 2],
    extra: 1,
  };
  const lines = problems(JSON.stringify(bad), { IMAGE_SERVICE_HTTP_TIMEOUT: 'x', IMAGE_SERVICE_ISO_DIR: '' });
  const names = lines.map((line) => line.split(': ').find((part) => part !== 'config.json'));
  t.same(names, [
    'httpEndpoints[0].address',
    'httpEndpoints[0].port',
    'httpEndpoints[1]',
    'IMAGE_SERVICE_ISO_DIR',
    'IMAGE_SERVICE_HTTP_TIMEOUT',
    'minLogLevel',
    'isoLocalDirs[0]',
    'isoLocalDirs[1]',
    'extra',
  ]);
  t.end();
});

t.test('a long value is shortened in the message', (t) => {
  const line = problem({ minLogLevel: 'x'.repeat(5000) });
  t.match(line, /"x{99}… is not allowed/);
  t.ok(line.length < 250);
  t.end();
});

t.test('every key can come from the environment, which wins over the file', (t) => {
  const environment = {
    IMAGE_SERVICE_HTTP_ENDPOINTS: JSON.stringify([{ address: '::', port: 80, routers: ['northbound', 'southbound'] }]),
    IMAGE_SERVICE_HTTP_FILE_SERVICE_ROOT_DIR: 'r',
    IMAGE_SERVICE_HTTP_FILE_SERVICE_API_ROOT: '/api/',
    IMAGE_SERVICE_ISO_DIR: '/i',
    IMAGE_SERVICE_MICROKERNEL_DIR: '/m',
    IMAGE_SERVICE_INVENTORY_FILE: '/v',
    IMAGE_SERVICE_HTTP_TIMEOUT: '1',
    IMAGE_SERVICE_MIN_LOG_LEVEL: '2',
    IMAGE_SERVICE_LOG_FORMAT: 'json',
    IMAGE_SERVICE_LOG_FILE: '/g',
    IMAGE_SERVICE_SOUTHBOUND_WAIT: '3',
    IMAGE_SERVICE_SOUTHBOUND_ALLOW: '[\"::1\"]',
    IMAGE_SERVICE_ISO_LOCAL_DIRS: '["/l"]',
    IMAGE_SERVICE_ISO_WEB_HOSTS: '["h"]',
    IMAGE_SERVICE_SYSTEMS_FILE: '/y',
    IMAGE_SERVICE_PUBLIC_URL: 'http://h:1/',
    IMAGE_SERVICE_BOOT_DEFAULT: 'n/v',
    IMAGE_SERVICE_BOOT_TIMEOUT: '11',
    IMAGE_SERVICE_TLS_CA_FILE: '/c',
    IMAGE_SERVICE_AUTH_FILE: '/a',
    IMAGE_SERVICE_CORS_ORIGINS: '[\"https://o\"]',
    IMAGE_SERVICE_MAX_UPLOAD_BYTES: '9',
    IMAGE_SERVICE_MIN_FREE_BYTES: '10',
    IMAGE_SERVICE_DOWNLOADS: '5',
    IMAGE_SERVICE_UPLOAD_TTL: '6',
    IMAGE_SERVICE_STOP_TIMEOUT: '4',
    IMAGE_SERVICE_SOUTHBOUND_WORKERS: '0',
    IMAGE_SERVICE_USER: '65534',
    IMAGE_SERVICE_CHUNK_CACHE: '7',
    IMAGE_SERVICE_MAX_CONNECTIONS: '8',
    IMAGE_SERVICE_RATE_LIMIT: '9',
    IMAGE_SERVICE_MOUNT_DRIVER: 'fuse',
    IMAGE_SERVICE_MOUNT_DIR: '/mounts',
    IMAGE_SERVICE_MOUNT_MAX_ENTRIES: '1000',
  };
  t.equal(Object.keys(environment).length, Object.keys({ ...defaults, ...defaults.mount }).length - 1);
  t.same(read({ isoDir: '/file', httpTimeout: 9, minLogLevel: 'ignored, for it is overridden' }, environment), {
    httpEndpoints: [{ address: '::', port: 80, routers: ['northbound', 'southbound'] }],
    httpFileServiceRootDir: '/srv/r',
    httpFileServiceApiRoot: '/api/',
    isoDir: '/i',
    microkernelDir: '/m',
    inventoryFile: '/v',
    httpTimeout: 1,
    minLogLevel: 2,
    logFormat: 'json',
    logFile: '/g',
    southboundWait: 3,
    southboundAllow: ['::1'],
    isoLocalDirs: ['/l'],
    isoWebHosts: ['h'],
    systemsFile: '/y',
    publicUrl: 'http://h:1',
    bootDefault: 'n/v',
    bootTimeout: 11,
    tlsCaFile: '/c',
    authFile: '/a',
    corsOrigins: ['https://o'],
    maxUploadBytes: 9,
    minFreeBytes: 10,
    downloads: 5,
    uploadTtl: 6,
    stopTimeout: 4,
    southboundWorkers: 0,
    user: '65534',
    chunkCache: 7,
    maxConnections: 8,
    rateLimit: 9,
    mount: { driver: 'fuse', dir: '/mounts', maxEntries: 1000 },
  });
  t.end();
});

t.test('workers cannot read what the kernel or FUSE has mounted', (t) => {
  for (const driver of ['loop', 'fuse', 'auto']) {
    t.equal(read({ mount: { driver } }).southboundWorkers, 0);
    t.equal(read({ mount: { driver }, southboundWorkers: 0 }).southboundWorkers, 0);
    const expected = new RegExp(`southboundWorkers: 2 is not allowed; it must be 0 or left out .* "${driver}"`);
    t.match(problem({ mount: { driver }, southboundWorkers: 2 }), expected);
  }
  t.equal(read({ southboundWorkers: 3 }).southboundWorkers, 3);
  t.equal(read({ southboundWorkers: null }).southboundWorkers, defaults.southboundWorkers);
  t.end();
});

t.test('a mistake in the environment names the variable', (t) => {
  const cases: [variable: string, value: string, expected: RegExp][] = [
    ['IMAGE_SERVICE_HTTP_TIMEOUT', '', /: "" is not allowed; it must be milliseconds/],
    ['IMAGE_SERVICE_INVENTORY_FILE', '', /: "" is not allowed; it must be a path/],
    ['IMAGE_SERVICE_HTTP_ENDPOINTS', '0.0.0.0:80', /: not JSON: /],
    ['IMAGE_SERVICE_HTTP_ENDPOINTS', '[{}]', /\[0\]\.address: nothing is not allowed/],
    ['IMAGE_SERVICE_ISO_LOCAL_DIRS', '/a:/b', /: not JSON: /],
    ['IMAGE_SERVICE_ISO_WEB_HOSTS', 'mirror.example.com', /: not JSON: /],
    ['IMAGE_SERVICE_NORTHBOUND_PORT', '80 ', /: "80 " is not allowed; it must be a port/],
    ['IMAGE_SERVICE_SOUTHBOUND_PORT', '70000', /: "70000" is not allowed; it must be a port/],
  ];
  for (const [variable, value, expected] of cases) {
    const [line = ''] = problems('{}', { [variable]: value });
    t.ok(line.startsWith(variable), line);
    t.match(line, expected);
  }
  t.end();
});

t.test('a port from the environment goes to the endpoint that has that router alone', (t) => {
  const ports = { IMAGE_SERVICE_NORTHBOUND_PORT: '0', IMAGE_SERVICE_SOUTHBOUND_PORT: '8080' };
  t.match(read({}, ports).httpEndpoints, [
    { address: '0.0.0.0', port: 0, routers: ['northbound'] },
    { address: '0.0.0.0', port: 8080, routers: ['southbound'] },
  ]);
  const shared = { ...north, routers: ['northbound', 'southbound'] };
  t.match(
    problem({ httpEndpoints: [shared] }, { IMAGE_SERVICE_NORTHBOUND_PORT: '80' }),
    /^IMAGE_SERVICE_NORTHBOUND_PORT: "80" .* 0 endpoints have the router "northbound" alone/,
  );
  t.match(
    problem({ httpEndpoints: [shared, south, { ...south, port: 1 }] }, { IMAGE_SERVICE_SOUTHBOUND_PORT: '80' }),
    /^IMAGE_SERVICE_SOUTHBOUND_PORT: .* 2 endpoints/,
  );
  t.match(problem({}, { IMAGE_SERVICE_SOUTHBOUND_PORT: '7070' }), /^httpEndpoints: "0\.0\.0\.0 port 7070"/);
  t.end();
});

t.test('what Kubernetes injects for a service of this name changes nothing', (t) => {
  const injected = {
    IMAGE_SERVICE_PORT: 'tcp://10.0.0.1:7070',
    IMAGE_SERVICE_SERVICE_HOST: '10.0.0.1',
    IMAGE_SERVICE_SERVICE_PORT: '7070',
    IMAGE_SERVICE_PORT_7070_TCP_ADDR: '10.0.0.1',
    IMAGE_SERVICE_NORTHBOUND_PORT: 'tcp://10.0.0.1:7070',
    IMAGE_SERVICE_SOUTHBOUND_PORT: 'udp://10.0.0.1:9090',
    PATH: '/bin',
    IMAGE_SERVICE_ISO_DIR: undefined,
  };
  t.same(read({}, injected), defaults);
  t.end();
});

t.test('stores and files that would get into each other’s way are refused by name', (t) => {
  const cases: [values: object, problem: RegExp][] = [
    [{ isoDir: '/isos', microkernelDir: '/isos' }, /^microkernelDir: "\/isos" .*another folder than isoDir/],
    [{ isoDir: 'static/common' }, /^microkernelDir: "\/srv\/static\/common" /],
    [{ isoDir: './x/../isos', microkernelDir: '/srv/isos/' }, /^microkernelDir: /],
    [{ inventoryFile: 'static/iso/inventory.json' }, /^inventoryFile: ".*\/iso\/inventory\.json" .*outside of isoDir/],
    [{ inventoryFile: 'static/common/i.json' }, /^inventoryFile: ".*\/common\/i\.json" .*outside of microkernelDir/],
    [{ logFile: 'static/service.log' }, /^logFile: ".*\/static\/service\.log" .*outside of httpFileServiceRootDir/],
    [{ isoDir: '/isos', logFile: '/isos/a.log' }, /^logFile: ".*" .*outside of isoDir/],
    [{ microkernelDir: '/kernels', logFile: '/kernels' }, /^logFile: ".*" .*outside of microkernelDir/],
    [{ inventoryFile: '/state/i', logFile: '/state/i' }, /^logFile: ".*" .*another file than inventoryFile/],
    [{ isoDir: '/isos', inventoryFile: '/isos' }, /^inventoryFile: "\/isos" .*outside of isoDir/],
  ];
  for (const [values, expected] of cases) t.match(problem(values), expected, JSON.stringify(values));
  t.match(
    problem({}, { IMAGE_SERVICE_INVENTORY_FILE: '/srv/static/iso/i.json' }),
    /^inventoryFile: ".*" .*outside of isoDir/,
  );
  const outside: [values: object, problem: RegExp][] = [
    [{ authFile: 'static/auth.json' }, /^authFile: "\/srv\/static\/auth\.json" .*outside of httpFileServiceRootDir/],
    [{ isoDir: '/isos', authFile: '/isos/x/a' }, /^authFile: "\/isos\/x\/a" .*outside of isoDir/],
    [{ microkernelDir: '/kernels', authFile: '/kernels/a' }, /^authFile: .*outside of microkernelDir/],
    [{ authFile: 'inventory.json' }, /^authFile: .*another file than inventoryFile/],
  ];
  for (const [values, expected] of outside) t.match(problem(values), expected, JSON.stringify(values));
  t.match(read({ inventoryFile: 'static/inventory.json' }), { inventoryFile: '/srv/static/inventory.json' });
  t.end();
});
