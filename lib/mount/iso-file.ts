import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { ServiceError, systemCode } from '../errors.js';

const irregular = 'The ISO is not a regular file';

function refusal(cause: unknown): ServiceError {
  const reason = systemCode(cause) ?? 'unknown';
  const isOneOf = (...codes: string[]) => codes.includes(reason);
  if (isOneOf('ENOENT', 'ENOTDIR', 'ELOOP')) return new ServiceError('NOT_FOUND', 'There is no such ISO', { cause });
  // open(2): the errors for a socket, and for a device without a driver.
  if (isOneOf('ENXIO', 'ENODEV')) return new ServiceError('BAD_REQUEST', irregular, { cause });
  if (isOneOf('EACCES', 'EPERM')) return new ServiceError('FORBIDDEN', 'No permission to read the ISO', { cause });
  if (isOneOf('EMFILE', 'ENFILE')) return new ServiceError('UNAVAILABLE', 'Too many files are open', { cause });
  return new ServiceError('INTERNAL', `The ISO cannot be opened: ${reason}`, { cause });
}

/**
 * Opens an .iso for reading; whoever receives the handle closes it.
 * @throws ServiceError NOT_FOUND, BAD_REQUEST (not a regular file), FORBIDDEN, UNAVAILABLE (too many open files), INTERNAL
 */
export async function openIsoFile(path: string): Promise<FileHandle> {
  // Without O_NONBLOCK a FIFO would hold a thread until somebody writes to it.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  const handle = await open(path, flags).catch((cause: unknown) => {
    throw refusal(cause);
  });
  try {
    const stats = await handle.stat();
    if (stats.isFile()) return handle;
    throw new ServiceError('BAD_REQUEST', irregular);
  } catch (error) {
    await handle.close();
    throw error;
  }
}
