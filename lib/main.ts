#!/usr/bin/env -S node --max-semi-space-size=4
// Node would let the memory of young objects grow to 48 MB, for nothing: streams leave little behind.
import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Config, readConfig } from './config.js';
import { ServiceError, messageOf } from './errors.js';
import { createLog } from './log.js';
import { startService } from './service.js';

/** The service's root folder, where relative paths of the configuration begin: two above the compiled file's. */
const root = resolve(dirname(fileURLToPath(import.meta.url)), '..', '..');

const usage = `Usage: image-service [OPTION]...
Serves OS images to machines that boot from the network.

  --config FILE    read the configuration from FILE
                   (default: $IMAGE_SERVICE_CONFIG, else etc/config.json)
  --print-config   print the configuration as it is in force, and exit
  --version        print the version, and exit
  --help           print this, and exit
`;

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

async function versionOf(folder: string): Promise<string> {
  const { version }: { version?: string } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as object;
  return version ?? 'unknown';
}

/** Runs until a signal; a second one does not wait for requests in flight. */
async function run(config: Config, version: string): Promise<void> {
  const log = createLog(config.minLogLevel, (line) => process.stdout.write(line));
  // A log reader that goes away must not take the service with it.
  process.stdout.on('error', () => undefined);
  process.on('uncaughtException', (error) => {
    log.critical(`uncaught: ${error.stack ?? error.message}`);
    process.exit(1);
  });
  log.info(`image-service ${version} starts`);
  // Before the start, which can take long: as the first process of a container we would not even hear of a signal.
  let isStopping = false;
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        log.info(`${signal}: stopping`);
        if (isStopping) process.exit(0);
        isStopping = true;
        resolve();
      });
    }
  });
  const service = await startService(config, version, log);
  await stopped;
  await service.stop();
  log.info('stopped');
  process.exit(0);
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options });
  const version = await versionOf(root);
  if (values.help) process.stdout.write(usage);
  else if (values.version) process.stdout.write(`${version}\n`);
  else {
    const config = await loadConfig(values.config);
    if (values['print-config']) process.stdout.write(`${JSON.stringify(config, null, 2)}\n`);
    else await run(config, version);
  }
}

main().catch((error: unknown) => {
  process.stderr.write(`image-service: ${messageOf(error)}\n`);
  process.exit(1);
});
