import { mkdir, open, readFile, stat } from 'node:fs/promises';
import { type Server, createServer } from 'node:net';
import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask } from '../fixtures/client.js';
import { fileOf } from '../fixtures/e2e-tools.js';
import { mainFile, run } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';

const northbound = { address: '127.0.0.1', port: 0, routers: 'northbound' };
const southbound = { address: '127.0.0.1', port: 0, routers: 'southbound' };

/** The environment of the person who runs the tests, without what would configure the service. */
const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('IMAGE_SERVICE_')),
);

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  return run(process.execPath, [mainFile, ...args], { env: { ...environment, ...env } });
}

async function usedPort(t: Test): Promise<{ server: Server; port: number }> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { server, port: address.port };
}

/** Ports that were free a moment ago. */
async function freePorts(t: Test, count: number): Promise<number[]> {
  const used = await Promise.all(Array.from({ length: count }, () => usedPort(t)));
  for (const { server } of used) server.close();
  return used.map(({ port }) => port);
}

t.test('--help says what there is, and --version which it is', async (t) => {
  const help = await start(['--help']);
  t.match(help, { code: 0, stderr: '' });
  for (const option of ['--config FILE', '--print-config', '--version', '--help', 'IMAGE_SERVICE_CONFIG']) {
    t.match(help.stdout, option);
  }
  const manifest = JSON.parse(await readFile(new URL('../../../package.json', import.meta.url), 'utf8')) as object;
  t.match(await start(['--version']), { code: 0, stderr: '', stdout: /^\d+\.\d+\.\d+\n$/ });
  t.match(manifest, { version: (await start(['--version'])).stdout.trim() });
});

t.test('--print-config prints what is in force and opens no port', async (t) => {
  const { port } = await usedPort(t);
  const folder = await temporaryFolder(t);
  const endpoints = [{ ...northbound, port }, southbound];
  const config = { httpEndpoints: endpoints, isoDir: join(folder, 'isos'), httpTimeout: '5000' };
  const file = await fileOf(folder, 'config.json', JSON.stringify(config));
  const printed = await start(['--print-config', '--config', file], { IMAGE_SERVICE_MIN_LOG_LEVEL: '3' });
  t.match(printed, { code: 0, stderr: '' });
  t.match(JSON.parse(printed.stdout), {
    httpEndpoints: [{ port, routers: ['northbound'] }, { routers: ['southbound'] }],
    isoDir: join(folder, 'isos'),
    httpTimeout: 5000,
    minLogLevel: 3,
    stopTimeout: 10_000,
  });
  t.rejects(stat(join(folder, 'isos')), { code: 'ENOENT' }, 'and makes no folder');
});

t.test('what is printed is itself a configuration', async (t) => {
  const folder = await temporaryFolder(t);
  const printed = await start(['--print-config']);
  const file = await fileOf(folder, 'printed.json', printed.stdout);
  t.equal((await start(['--print-config', '--config', file])).stdout, printed.stdout);
});

t.test('the configuration comes from --config, else from IMAGE_SERVICE_CONFIG', async (t) => {
  const folder = await temporaryFolder(t);
  const one = await fileOf(folder, 'one.json', '{"httpTimeout": 1111}');
  const two = await fileOf(folder, 'two.json', '{"httpTimeout": 2222}');
  const timeout = async (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    (JSON.parse((await start(['--print-config', ...args], env)).stdout) as { httpTimeout: number }).httpTimeout;
  t.equal(await timeout(['--config', one]), 1111);
  t.equal(await timeout([`--config=${one}`], { IMAGE_SERVICE_CONFIG: two }), 1111);
  t.equal(await timeout([], { IMAGE_SERVICE_CONFIG: two }), 2222);
  t.equal(await timeout([]), 86_400_000, 'etc/config.json');
});

t.test('two services run side by side, told apart by the environment alone', async (t) => {
  const ports = await freePorts(t, 4);
  const services = [ports.slice(0, 2), ports.slice(2)].map(async ([north = 0, south = 0], index) => {
    const folder = await temporaryFolder(t);
    const home = join(folder, String(index));
    await mkdir(join(home, 'static'), { recursive: true });
    const env = {
      IMAGE_SERVICE_NORTHBOUND_PORT: String(north),
      IMAGE_SERVICE_SOUTHBOUND_PORT: String(south),
      IMAGE_SERVICE_HTTP_FILE_SERVICE_ROOT_DIR: join(home, 'static'),
      IMAGE_SERVICE_ISO_DIR: join(home, 'static/iso'),
      IMAGE_SERVICE_MICROKERNEL_DIR: join(home, 'static/common'),
      IMAGE_SERVICE_INVENTORY_FILE: join(home, 'inventory.json'),
    };
    const child = spawn(process.execPath, [mainFile], {
      env: { ...environment, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    t.teardown(() => child.kill('SIGKILL'));
    let output = '';
    for await (const chunk of child.stdout) if ((output += String(chunk)).includes('southbound on')) break;
    return { north: `http://127.0.0.1:${north}`, south: `http://127.0.0.1:${south}` };
  });
  const [one, two] = await Promise.all(services);
  t.equal((await ask(one?.north ?? '', '/microkernel?name=k', { method: 'PUT', body: 'one' })).status, 200);
  t.equal((await ask(one?.south ?? '', '/common/k')).text, 'one');
  t.equal((await ask(two?.south ?? '', '/common/k')).status, 404);
});

t.test('what is wrong is named, and no port is opened', async (t) => {
  const folder = await temporaryFolder(t);
  const endpoints = [northbound, southbound];
  const wrong: readonly [what: string, config: string, says: RegExp][] = [
    ['an unknown key', JSON.stringify({ httpEndpoints: endpoints, isoDirr: 'x' }), /isoDirr/],
    ['a wrong type', JSON.stringify({ httpEndpoints: endpoints, httpTimeout: 'soon' }), /httpTimeout.*"soon"/],
    ['a missing endpoint', JSON.stringify({ httpEndpoints: [northbound] }), /httpEndpoints.*"southbound"/],
    ['not JSON', '{', /not JSON/],
  ];
  for (const [what, config, says] of wrong) {
    const file = await fileOf(folder, 'config.json', config);
    t.match(await start(['--config', file]), { code: 1, stdout: '', stderr: says }, what);
    t.match(await start(['--print-config', '--config', file]), { code: 1, stdout: '', stderr: says }, what);
  }
  const missing = join(folder, 'missing.json');
  t.match(await start(['--config', missing]), { code: 1, stdout: '', stderr: /missing\.json/ });
  t.match(await start([], { IMAGE_SERVICE_CONFIG: missing }), { code: 1, stdout: '', stderr: /missing\.json/ });
  t.match(await start([], { IMAGE_SERVICE_HTTP_TIMEOUT: '-1' }), { code: 1, stderr: /IMAGE_SERVICE_HTTP_TIMEOUT/ });
});

t.test('an unknown option is named', async (t) => {
  t.match(await start(['--confg', 'x']), { code: 1, stdout: '', stderr: /--confg/ });
  t.match(await start(['extra']), { code: 1, stdout: '', stderr: /extra/ });
  t.match(await start(['--config']), { code: 1, stdout: '', stderr: /--config/ });
});

t.test('a port that is in use ends the start, and closes the other one', async (t) => {
  const { port } = await usedPort(t);
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'static'));
  const config = {
    httpEndpoints: [northbound, { ...southbound, port }],
    httpFileServiceRootDir: join(folder, 'static'),
    isoDir: join(folder, 'static/iso'),
    microkernelDir: join(folder, 'static/common'),
    inventoryFile: join(folder, 'inventory.json'),
  };
  const file = await fileOf(folder, 'config.json', JSON.stringify(config));
  t.match(await start(['--config', file]), { code: 1, stderr: new RegExp(`127\\.0\\.0\\.1 port ${port}.*EADDRINUSE`) });
});

t.test('an inventory that cannot be opened ends the start before any port is opened', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'inventory.json'));
  const config = {
    httpEndpoints: [northbound, southbound],
    httpFileServiceRootDir: join(folder, 'static'),
    isoDir: join(folder, 'static/iso'),
    microkernelDir: join(folder, 'static/common'),
    inventoryFile: join(folder, 'inventory.json'),
  };
  const file = await fileOf(folder, 'config.json', JSON.stringify(config));
  const ended = await start(['--config', file]);
  t.match(ended, { code: 1, stderr: /inventory/ });
  t.notMatch(ended.stdout, /port/);
});

t.test('a place that cannot be used ends the start, with its setting and value', async (t) => {
  const folder = await temporaryFolder(t);
  const file = await fileOf(folder, 'file', 'no folder');
  const good = {
    httpEndpoints: [northbound, southbound],
    httpFileServiceRootDir: join(folder, 'static'),
    isoDir: join(folder, 'static/iso'),
    microkernelDir: join(folder, 'static/common'),
    inventoryFile: join(folder, 'inventory.json'),
  };
  const places: readonly [key: string, value: string][] = [
    ['isoDir', file],
    ['isoDir', join(file, 'iso')],
    ['microkernelDir', file],
    ['inventoryFile', join(folder, 'static')],
    ['inventoryFile', join(file, 'inventory.json')],
  ];
  await mkdir(join(folder, 'static'));
  for (const [key, value] of places) {
    const config = await fileOf(folder, 'config.json', JSON.stringify({ ...good, [key]: value }));
    const ended = await start(['--config', config]);
    t.equal(ended.code, 1, `${key} ${value}`);
    t.ok(ended.stderr.includes(`${key} ${JSON.stringify(value)}: `), ended.stderr);
    t.notMatch(ended.stdout, /port/);
  }
});

t.test('SIGTERM during the start ends the service like one that runs', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'static'));
  // Reading it takes as long as the test likes.
  const inventoryFile = join(folder, 'inventory.json');
  t.equal((await run('mkfifo', [inventoryFile])).code, 0);
  const env = {
    ...environment,
    IMAGE_SERVICE_HTTP_ENDPOINTS: JSON.stringify([northbound, southbound]),
    IMAGE_SERVICE_HTTP_FILE_SERVICE_ROOT_DIR: join(folder, 'static'),
    IMAGE_SERVICE_ISO_DIR: join(folder, 'static/iso'),
    IMAGE_SERVICE_MICROKERNEL_DIR: join(folder, 'static/common'),
    IMAGE_SERVICE_INVENTORY_FILE: inventoryFile,
  };
  const child = spawn(process.execPath, [mainFile], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  // Opens when the service has opened it too.
  const inventory = await open(inventoryFile, 'w');
  child.kill('SIGTERM');
  let output = '';
  for await (const chunk of child.stdout) {
    const before = output;
    output += String(chunk);
    if (before.includes('SIGTERM: stopping') || !output.includes('SIGTERM: stopping')) continue;
    await inventory.writeFile('{"images": []}');
    await inventory.close();
  }
  t.same(await closed, [0, null]);
  t.match(output, /stopped\n$/);
});
