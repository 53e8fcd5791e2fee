import { realpath } from 'node:fs/promises';
import type { Config } from './config.js';
import { ifThere, messageOf, ServiceError } from './errors.js';
import { lock } from './images/lock.js';

/** Where the service keeps what it must have for itself, by the setting that says so. */
function statePlaces({ inventoryFile, isoDir, microkernelDir, mount }: Config) {
  // The direct driver mounts nothing: the usual folder may be another service's.
  const mounts = mount.driver === 'direct' ? {} : { 'mount.dir': mount.dir };
  return { inventoryFile, isoDir, microkernelDir, ...mounts };
}

/** Says which setting keeps the service from starting. */
export async function bySetting<T>(key: string, path: string, operation: (path: string) => Promise<T>): Promise<T> {
  try {
    return await operation(path);
  } catch (error) {
    throw new ServiceError('BAD_REQUEST', `${key} ${JSON.stringify(path)}: ${messageOf(error)}`, { cause: error });
  }
}

export async function lockPlace(path: string): Promise<() => void> {
  return lock((await ifThere(realpath(path))) ?? path);
}

/** Makes sure that no other service works on the same files. */
export async function lockState(config: Config): Promise<() => void> {
  const locks: (() => void)[] = [];
  const release = () => locks.forEach((unlock) => unlock());
  try {
    for (const [key, path] of Object.entries(statePlaces(config))) locks.push(await bySetting(key, path, lockPlace));
  } catch (error) {
    release();
    throw error;
  }
  return release;
}
