import { readFile } from 'node:fs/promises';
import type { Config } from './config.js';
import { messageOf, ServiceError, systemCode } from './errors.js';
import type { Settings } from './service-settings.js';
import type { Signature } from './systems/signature.js';
import { readSignatures } from './systems/signatures.js';

const shipped = new URL('../../etc/systems.json', import.meta.url);

/** The signatures of the operator's file before those that come with the service. */
async function readAll({ systemsFile }: Pick<Config, 'systemsFile'>): Promise<readonly Signature[]> {
  const known = readSignatures(await readFile(shipped, 'utf8'), 'etc/systems.json');
  if (systemsFile === undefined) return known;
  const text = await readFile(systemsFile, 'utf8').catch((cause: unknown) => {
    const reason = systemCode(cause) ?? messageOf(cause);
    throw new ServiceError('BAD_REQUEST', `systemsFile ${JSON.stringify(systemsFile)} cannot be read (${reason})`, {
      cause,
    });
  });
  return readSignatures(text, 'systemsFile', known);
}

/** How systems are recognized. */
export interface Systems {
  readonly signatures: readonly Signature[];
}

/**
 * How systems are recognized, by the settings in force: the signatures of `systemsFile` before those of the service.
 * @throws ServiceError BAD_REQUEST: a file cannot be read, or what is wrong in it
 */
export async function openSignatures(settings: Settings): Promise<Systems> {
  let signatures = await readAll(settings.config);
  settings.onReload(async (next) => {
    const fresh = await readAll(next);
    return () => (signatures = fresh);
  });
  return {
    get signatures() {
      return signatures;
    },
  };
}
