import type { Config } from './config.js';
import { messageOf, ServiceError } from './errors.js';
import { openLog } from './log-output.js';
import type { LogSwitch, OpenLog } from './log-switch.js';
import type { Service } from './service.js';

/**
 * Opens the log that a configuration asks for.
 * @param write receives each line with its line feed
 * @throws ServiceError BAD_REQUEST when there is to be a file that cannot be opened
 */
export function openServiceLog(config: Config, write: (line: string) => void): Promise<OpenLog> {
  return openLog(config, write).catch((error: unknown) => {
    throw new ServiceError('BAD_REQUEST', `logFile ${JSON.stringify(config.logFile)}: ${messageOf(error)}`);
  });
}

/**
 * Puts another configuration in force, in the service and in its log.
 * @param write as of `openServiceLog`
 * @returns the keys that take effect after a restart
 * @throws ServiceError BAD_REQUEST when it cannot be in force: then nothing has changed
 */
export async function reloadAll(
  service: Service,
  log: LogSwitch,
  config: Config,
  write: (line: string) => void,
): Promise<readonly string[]> {
  const next = await openServiceLog(config, write);
  const waiting = await service.reload(config).catch(async (error: unknown) => {
    await next.close();
    throw error;
  });
  await log.use(next);
  return waiting;
}
