import { ServiceError } from '../errors.js';

/** Enough for a tree of a million entries; some seconds of work at the worst. */
const maxWork = 4_000_000;

/** What a read costs where a record costs 1: it waits for the disk. */
export const readCost = 8;

/** What each sector of a folder costs beside its records: without that, padding would be free. */
export const sectorCost = 16;

/** Bounds what a hostile image can make one request do. A unit is about one directory record. */
export class Budget {
  constructor(private left = maxWork) {}

  /** @throws ServiceError BROKEN_ISO once everything is spent */
  spend(units: number): void {
    this.left -= units;
    if (this.left < 0) {
      throw new ServiceError('BROKEN_ISO', 'The folders of the ISO take more work to read than a million entries');
    }
  }
}
