import { ServiceError } from '../errors.js';
import type { ChildDriver } from './child-driver.js';
import type { MountDriver } from './mount.js';

/** Tries the kernel first, and reads the ISO directly where that does not work; the mount says why. */
export function createAutoDriver(loop: ChildDriver, direct: MountDriver): MountDriver {
  return {
    name: 'auto',
    async mount(source) {
      const obstacle = await loop.whyNot();
      try {
        if (obstacle === undefined) return await loop.mount(source);
      } catch (error) {
        if (!(error instanceof ServiceError)) throw error;
        return { ...(await direct.mount(source)), why: `loop: ${error.message}` };
      }
      return { ...(await direct.mount(source)), why: `loop: ${obstacle}` };
    },
  };
}
