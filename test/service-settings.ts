import { readFile } from 'node:fs/promises';
import t from 'tap';
import { type Config, readConfig } from '../lib/config.js';
import { type Key, readKeys } from '../lib/config-table.js';
import { createLog } from '../lib/log.js';
import { logReload, Settings, workerSettings } from '../lib/service-settings.js';

function configOf(settings: Readonly<Record<string, unknown>> = {}): Config {
  return readConfig(JSON.stringify(settings), '/root', {}, 'test');
}

/** Another value than the default, for every key. */
const others: Readonly<Record<string, unknown>> = {
  httpEndpoints: [{ address: '127.0.0.1', port: 1, routers: ['northbound', 'southbound'] }],
  httpFileServiceRootDir: './other',
  httpFileServiceApiRoot: '/other/',
  isoDir: './other/iso',
  microkernelDir: './other/common',
  inventoryFile: './other.json',
  httpTimeout: 1,
  minLogLevel: 1,
  logFormat: 'json',
  logFile: './log',
  southboundWait: 1,
  southboundAllow: ['10.0.0.0/8'],
  isoLocalDirs: ['/srv'],
  isoWebHosts: ['example.com'],
  tlsCaFile: './ca.pem',
  authFile: './auth',
  corsOrigins: ['https://example.com'],
  maxUploadBytes: 1,
  minFreeBytes: 1,
  downloads: 1,
  uploadTtl: 1,
  stopTimeout: 1,
  systemsFile: '/other/systems.json',
  publicUrl: 'http://other',
  bootDefault: 'other/1',
  bootTimeout: 1,
  southboundWorkers: 7,
  user: 'other',
  chunkCache: 1,
  maxConnections: 1,
  rateLimit: 1,
  'mount.driver': 'loop',
  'mount.dir': './other/mounts',
  'mount.maxEntries': 1000,
};

function withOther(key: string): Config {
  // Another driver needs another number of workers.
  if (key === 'mount.driver') return configOf({ southboundWorkers: 0, mount: { driver: others[key] } });
  const [group = '', member] = key.split('.');
  return configOf(member === undefined ? { [key]: others[key] } : { [group]: { [member]: others[key] } });
}

function allKeys(): string[] {
  const keys: string[] = [];
  const collect: Key = (name, preset, reader) => {
    keys.push(name);
    return reader(preset, name, '/');
  };
  readKeys(collect);
  return keys;
}

/** The keys that the README says take effect at once. */
async function documented(): Promise<string[]> {
  const readme = await readFile(new URL('../../README.md', import.meta.url), 'utf8');
  const list = /takes over at once: ([^.]+)\./.exec(readme)?.[1] ?? '';
  return [...list.matchAll(/`([\w.]+)`/g)].map(([, key = '']) => key);
}

t.test('every key takes effect at once or is said to wait, as the README has it', async (t) => {
  const atOnce: string[] = [];
  for (const key of allKeys()) {
    const settings = new Settings(configOf({ southboundWorkers: key === 'mount.driver' ? 0 : 1 }));
    const next = {
      ...withOther(key),
      ...(key !== 'southboundWorkers' && key !== 'mount.driver' && { southboundWorkers: 1 }),
    };
    const { changed, waiting } = await settings.reload(next);
    t.same([...changed, ...waiting], [key], key);
    atOnce.push(...changed);
  }
  t.same(atOnce.sort(), (await documented()).sort());
});

t.test('what takes effect shows in the object that was there before; what waits does not', async (t) => {
  const settings = new Settings(configOf());
  const { config } = settings;
  await settings.reload(configOf({ rateLimit: 5, isoWebHosts: ['example.com'], chunkCache: 7, inventoryFile: '/x' }));
  t.match(config, { rateLimit: 5, isoWebHosts: ['example.com'], chunkCache: 128 * 2 ** 20 });
  t.equal(config.inventoryFile, '/root/inventory.json');
  await settings.reload(configOf());
  t.same(config, configOf());
});

t.test('the configuration that was given stays as it was', async (t) => {
  const given = configOf();
  await new Settings(given).reload(configOf({ rateLimit: 5 }));
  t.equal(given.rateLimit, 0);
});

t.test('parts are told what will be in force, and take it over when all are ready', async (t) => {
  const settings = new Settings(configOf());
  const said: string[] = [];
  for (const name of ['a', 'b']) {
    settings.onReload(async ({ rateLimit, chunkCache }) => {
      said.push(`${name} prepares for ${rateLimit}, not ${chunkCache === 7}`);
      await Promise.resolve();
      return () => said.push(`${name} goes by ${settings.config.rateLimit}`);
    });
  }
  await settings.reload(configOf({ rateLimit: 5, chunkCache: 7 }));
  t.same(said, ['a prepares for 5, not false', 'b prepares for 5, not false', 'a goes by 5', 'b goes by 5']);
});

t.test('when one part cannot take it over, none does', async (t) => {
  const settings = new Settings(configOf());
  let taken = 0;
  settings.onReload(() => () => taken++);
  settings.onReload(({ downloads }) => {
    if (downloads === 1) throw new Error('not one');
    return () => taken++;
  });
  await t.rejects(settings.reload(configOf({ rateLimit: 5, downloads: 1 })), { message: 'not one' });
  t.same(settings.config, configOf());
  t.equal(taken, 0);
  await settings.reload(configOf({ rateLimit: 5 }));
  t.equal(settings.config.rateLimit, 5, 'the next one goes on');
  t.equal(taken, 2);
});

t.test('reloads go one after the other, and the last one holds', async (t) => {
  const settings = new Settings(configOf());
  const order: number[] = [];
  settings.onReload(async ({ rateLimit }) => {
    order.push(rateLimit);
    // The first one takes longer.
    for (let turn = rateLimit; turn < 10; turn++) await Promise.resolve();
    return () => order.push(rateLimit);
  });
  await Promise.all([1, 9].map((rateLimit) => settings.reload(configOf({ rateLimit }))));
  t.same(order, [1, 1, 9, 9]);
  t.equal(settings.config.rateLimit, 9);
});

t.test('the log says what has changed, and in a warning each what waits', (t) => {
  const lines: string[] = [];
  const log = createLog(0, (line) => lines.push(line.slice(25)));
  t.same(logReload({ changed: ['a', 'b'], waiting: ['inventoryFile', 'mount.dir'] }, log), [
    'inventoryFile',
    'mount.dir',
  ]);
  logReload({ changed: [], waiting: [] }, log);
  t.same(lines, [
    'info     the configuration was read again; a, b changed\n',
    'warning  inventoryFile: takes effect after a restart\n',
    'warning  mount.dir: takes effect after a restart\n',
    'info     the configuration was read again; nothing changed\n',
  ]);
  t.end();
});

t.test('workers are told what they go by', (t) => {
  const settings = { minLogLevel: 3, southboundWait: 4, rateLimit: 5, bootTimeout: 6, bootDefault: 'a/1' };
  t.same(workerSettings(configOf(settings)), settings);
  t.end();
});
