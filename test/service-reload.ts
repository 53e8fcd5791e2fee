import t from 'tap';
import { type Config, readConfig } from '../lib/config.js';
import { LogSwitch } from '../lib/log-switch.js';
import type { Service } from '../lib/service.js';
import { openServiceLog, reloadAll } from '../lib/service-reload.js';

function configOf(minLogLevel: number): Config {
  return readConfig(JSON.stringify({ minLogLevel }), '/root', {}, 'test');
}

async function setUp(reload: Service['reload']) {
  const lines: string[] = [];
  const write = (line: string) => lines.push(line.slice(25).trimEnd());
  const log = new LogSwitch(await openServiceLog(configOf(2), write));
  const service: Service = { endpoints: [], reload, stop: () => Promise.resolve() };
  return { lines, log, reload: (config: Config) => reloadAll(service, log, config, write) };
}

t.test('the log follows when the service has, and what the service says of it goes to the former', async (t) => {
  const said = await setUp((config) => {
    said.log.info(`to ${config.minLogLevel}`);
    said.log.warning(`to ${config.minLogLevel}`);
    return Promise.resolve(['isoDir']);
  });
  t.same(await said.reload(configOf(0)), ['isoDir']);
  said.log.debug('after');
  t.same(said.lines, ['warning  to 0', 'debug    after']);
});

t.test('a service that refuses keeps its log', async (t) => {
  const { lines, log, reload } = await setUp(() => Promise.reject(new Error('no')));
  await t.rejects(reload(configOf(0)), { message: 'no' });
  log.info('one');
  log.warning('two');
  t.same(lines, ['warning  two']);
});
