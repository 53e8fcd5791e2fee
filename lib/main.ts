#!/usr/bin/env -S node --max-semi-space-size=4
// Node would let the memory of young objects grow to 48 MB, for nothing: streams leave little behind.
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Config, readConfig } from './config.js';
import { ServiceError, messageOf } from './errors.js';
import type { Log } from './log.js';
import { LogSwitch } from './log-switch.js';
import { accessUsage, isAccessCommand, runAccessCommand } from './main-access.js';
import { createNotifier } from './main-notify.js';
import { Reloading } from './main-reload.js';
import { startService } from './service.js';
import { openServiceLog, reloadAll } from './service-reload.js';
import { readVersion } from './service-version.js';

/** The service's root folder, where relative paths of the configuration begin: two above the compiled file's. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

const usage = `Usage: image-service [OPTION]...
       image-service COMMAND [--config FILE]
Serves OS images to machines that boot from the network.

  --config FILE    read the configuration from FILE
                   (default: $IMAGE_SERVICE_CONFIG, else etc/config.json)
  --print-config   print the configuration as it is in force, and exit
  --version        print the version, and exit
  --help           print this, and exit

${accessUsage}`;

const options = {
  config: { type: 'string' },
  'print-config': { type: 'boolean' },
  version: { type: 'boolean' },
  help: { type: 'boolean' },
} as const;

async function loadConfig(file: string | undefined): Promise<Config> {
  const path = file ?? process.env['IMAGE_SERVICE_CONFIG'] ?? join(root, 'etc', 'config.json');
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw new ServiceError('BAD_REQUEST', `The configuration cannot be read: ${messageOf(error)}`);
  });
  return readConfig(text, root, process.env, path);
}

const write = (line: string) => process.stdout.write(line);

/** SIGHUP has the configuration read again. It must not end the process, also not while the service starts. */
function reloadOnHangup(log: Log): Reloading {
  const reloading = new Reloading(log);
  process.on('SIGHUP', () => {
    log.info('SIGHUP: reading the configuration again');
    reloading.request();
  });
  return reloading;
}

/**
 * Runs until a signal; a second one does not wait for requests in flight.
 * @param load reads the configuration
 */
async function run(load: () => Promise<Config>, version: string): Promise<void> {
  const config = await load();
  // A log reader that goes away must not take the service with it.
  process.stdout.on('error', () => undefined);
  const log = new LogSwitch(await openServiceLog(config, write));
  const exit = (code: number) => void log.close().then(() => process.exit(code));
  const reloading = reloadOnHangup(log);
  process.on('uncaughtException', (error) => {
    log.critical(`uncaught: ${error.stack ?? error.message}`);
    exit(1);
  });
  log.info(`image-service ${version} starts`);
  // Before the start, which can take long: as the first process of a container we would not even hear of a signal.
  let isStopping = false;
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        log.info(`${signal}: stopping`);
        if (isStopping) exit(0);
        isStopping = true;
        resolve();
      });
    }
  });
  const manager = createNotifier(process.env, log);
  const service = await startService(config, version, log).catch(async (error: unknown) => {
    await log.close();
    throw error;
  });
  let inForce = config;
  reloading.started(async () => {
    try {
      const next = await load();
      await reloadAll(service, log, next, write);
      inForce = next;
    } catch (error) {
      // Log rotation says SIGHUP, too, and deletes the file that was.
      await log.use(await openServiceLog(inForce, write));
      throw error;
    }
  });
  manager.ready();
  await stopped;
  reloading.end();
  const told = manager.stopping();
  await service.stop();
  await told;
  log.info('stopped');
  exit(0);
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(usage);
    return;
  }
  if (isAccessCommand(args)) {
    await runAccessCommand(args, loadConfig, process);
    return;
  }
  const { values } = parseArgs({ options });
  const version = await readVersion();
  if (values.version) process.stdout.write(`${version}\n`);
  else {
    const load = () => loadConfig(values.config);
    if (values['print-config'])
      process.stdout.write(`${JSON.stringify(await load(), (_, value: unknown) => value ?? null, 2)}\n`);
    else await run(load, version);
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`image-service: ${messageOf(error)}\n`);
  process.exit(1);
});
