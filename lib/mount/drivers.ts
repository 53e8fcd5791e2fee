import { ServiceError } from '../errors.js';
import type { Log } from '../log.js';
import { createAutoDriver } from './auto.js';
import type { ChildDriver } from './child-driver.js';
import { directDriver } from './direct.js';
import { createFuseDriver, type FuseOptions } from './fuse.js';
import { clearLeftovers } from './leftovers.js';
import { createLoopDriver, type LoopOptions } from './loop.js';
import type { MountDriver } from './mount.js';

export interface DriverOptions {
  readonly driver: MountDriver['name'];
  /** The folder of the mount points. */
  readonly mountDir: string;
  /** Whether the .iso at a path, perhaps deleted since, is one of the service's. */
  readonly isOurs: (path: string) => boolean;
  readonly log: Log;
  /** Another service mounts there: nothing of it is taken away. */
  readonly isShared?: boolean;
  /** Absolute paths of what the drivers run, where they are not the usual ones. */
  readonly programs?: Pick<LoopOptions, 'mount'> & Pick<FuseOptions, 'fuseiso'>;
}

export interface OpenedDriver {
  readonly driver: MountDriver;
  /** What keeps it from working here, in words. */
  readonly unavailable?: string;
}

/** Says in an image's record, too, what is in the way of all of them. */
function explaining(child: ChildDriver): MountDriver {
  return {
    name: child.name,
    mount: (source) =>
      child.mount(source).catch(async (cause: unknown) => {
        const obstacle = await child.whyNot();
        if (obstacle === undefined || !(cause instanceof ServiceError) || cause.code !== 'UNAVAILABLE') throw cause;
        throw new ServiceError('UNAVAILABLE', `The mount driver "${child.name}" cannot work: ${obstacle}`, { cause });
      }),
  };
}

async function create({ driver: name, mountDir, log, programs }: DriverOptions): Promise<OpenedDriver> {
  if (name === 'direct') return { driver: directDriver };
  const options = { mountDir, log, ...programs };
  const child = name === 'fuse' ? createFuseDriver(options) : createLoopDriver(options);
  const unavailable = await child.whyNot();
  const driver = name === 'auto' ? createAutoDriver(child, directDriver) : explaining(child);
  return { driver, ...(unavailable !== undefined && { unavailable }) };
}

/**
 * Makes the mount driver of a name, after mounts that a killed service has left were taken away, also those of a driver
 * that is no longer wanted. Says in the log what stands in its way. Never rejects.
 */
export async function openDriver(options: DriverOptions): Promise<OpenedDriver> {
  const { driver: name, log, isShared = false } = options;
  const lines = isShared ? [] : await clearLeftovers(options);
  for (const line of lines) log.warning(line);
  const opened = await create(options);
  const { unavailable } = opened;
  if (unavailable === undefined) return opened;
  if (name === 'auto') log.info(`ISOs are read directly, as ${unavailable}`);
  else log.error(`No ISO can be mounted by the driver "${name}": ${unavailable}; stores and microkernels are served`);
  return opened;
}
