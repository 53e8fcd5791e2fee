import { ServiceError } from '../errors.js';
import { mountDirect } from './direct.js';
import type { Mount, MountSource, SharedIso } from './mount.js';

export interface SharedOptions {
  /** Of the image. */
  readonly id: string;
  /** As in `MountSource`. */
  readonly digest: NonNullable<MountSource['digest']>;
}

async function tryPath(options: SharedOptions, shared: SharedIso, path: string): Promise<Mount | ServiceError> {
  const { view, maxEntries, device, inode } = shared;
  try {
    const { mount, stats } = await mountDirect({
      ...options,
      path,
      view,
      ...(maxEntries !== undefined && { maxEntries }),
    });
    if (stats.dev === device && stats.ino === inode) return mount;
    await mount.unmount();
    return new ServiceError('UNAVAILABLE', 'The ISO was deleted or replaced');
  } catch (error) {
    if (error instanceof ServiceError) return error;
    throw error;
  }
}

/**
 * Serves an ISO that another process has open.
 * @throws ServiceError as `MountDriver.mount` does; UNAVAILABLE when another file is in its place
 */
export async function mountShared(shared: SharedIso, options: SharedOptions): Promise<Mount> {
  const mount = await tryPath(options, shared, shared.path);
  if (!(mount instanceof ServiceError)) return mount;
  const held = await tryPath(options, shared, shared.descriptorPath);
  if (held instanceof ServiceError) throw mount;
  return held;
}
