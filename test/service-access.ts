import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { serializeEntries } from '../lib/access/entries.js';
import { type Config, readConfig } from '../lib/config.js';
import { createLog } from '../lib/log.js';
import { openAccess } from '../lib/service-access.js';
import { CountedScrypt, tokenEntry } from './fixtures/access.js';
import { temporaryFolder } from './fixtures/service.js';

interface Written {
  readonly address: string;
  readonly port?: number;
  readonly routers?: string | readonly string[];
}

const southbound = { address: '0.0.0.0', port: 9090, routers: 'southbound' };

function configOf(endpoints: readonly Written[], more: object = {}): Config {
  const list = endpoints.map((endpoint, index) => ({ port: 7070 + index, routers: 'northbound', ...endpoint }));
  const isServed = list.some(({ routers }) => routers.includes('southbound'));
  return readConfig(
    JSON.stringify({ httpEndpoints: isServed ? list : [...list, southbound], ...more }),
    '/',
    {},
    'test',
  );
}

async function linesOf(config: Config): Promise<string[]> {
  const log: string[] = [];
  await openAccess(
    config,
    createLog(0, (line) => log.push(line)),
  );
  return log;
}

t.test('northbound without credentials is warned of once, with both ways out, unless it is on loopback', async (t) => {
  const cases: [endpoints: Written[], places: string | undefined][] = [
    [[{ address: '0.0.0.0' }], '0.0.0.0 port 7070'],
    [[{ address: '::' }], ':: port 7070'],
    [[{ address: '192.0.2.1' }, { address: '2001:db8::1' }], '192.0.2.1 port 7070 and 2001:db8::1 port 7071'],
    [[{ address: 'example.com' }, { address: '127.0.0.1' }], 'example.com port 7070'],
    [[{ address: '0.0.0.0', routers: ['northbound', 'southbound'] }], '0.0.0.0 port 7070'],
    [[{ address: '127.0.0.1' }], undefined],
    [[{ address: '127.9.9.9' }, { address: '::1' }, { address: 'localhost' }], undefined],
    [[{ address: '::ffff:127.0.0.1' }], undefined],
  ];
  for (const [endpoints, places] of cases) {
    const lines = await linesOf(configOf(endpoints));
    t.equal(lines.length, places === undefined ? 0 : 1, JSON.stringify(endpoints));
    if (places === undefined) continue;
    t.ok(lines[0]?.includes(` warning  northbound on ${places} needs no credentials`), lines[0] ?? '');
    for (const way of ['authFile', 'token add', '127.0.0.1']) t.match(lines[0], way);
  }
});

t.test('with authFile there is no such warning, and a file that is broken refuses the start', async (t) => {
  const authFile = join(await temporaryFolder(t), 'auth.json');
  const { entry } = await tokenEntry('ci', {}, new CountedScrypt().hash);
  await writeFile(authFile, serializeEntries([entry]), { mode: 0o600 });
  const config = configOf([{ address: '0.0.0.0' }], { authFile });
  const lines = await linesOf(config);
  t.equal(lines.length, 1);
  t.match(lines[0], /info .*tokens and passwords in force: 1$/m);
  await writeFile(authFile, '{');
  await t.rejects(linesOf(config), { code: 'BAD_REQUEST', message: /^authFile ".*": it is not JSON$/ });
});
