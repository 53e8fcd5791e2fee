import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { ServiceError, systemCode } from '../errors.js';

/**
 * Makes sure that one service alone works on a file or folder: another one would clear away what is arriving here.
 *
 * The lock is a socket in Linux's abstract namespace (unix(7)). The kernel takes it away with the process, however that
 * ends, so nothing stale is ever left.
 * @param path real path
 * @returns gives the lock back
 * @throws ServiceError BUSY
 */
export async function lock(path: string): Promise<() => void> {
  const name = createHash('sha256').update(path).digest('hex');
  const server = createServer();
  // It must not keep the process alive by itself.
  server.unref();
  server.listen(`\0image-service-${name}`);
  try {
    await once(server, 'listening');
  } catch (error) {
    if (systemCode(error) !== 'EADDRINUSE') throw error;
    throw new ServiceError('BUSY', `${path} is in use by another image-service`, { cause: error });
  }
  return () => server.close();
}
