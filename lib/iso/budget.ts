import { ServiceError } from '../errors.js';

/** Directory entries that one request may have read: some seconds of work at the worst. */
export const defaultMaxEntries = 1_000_000;

/** Units for an entry: most of what an honest tree costs are the records themselves. */
const workPerEntry = 4;

/** What a read costs where a record costs 1: it waits for the disk. */
export const readCost = 8;

/** What each sector of a folder costs beside its records: without that, padding would be free. */
export const sectorCost = 16;

/** Bounds what a hostile image can make one request do. A unit is about one directory record. */
export class Budget {
  #left: number;
  #entries = 0;

  /** @param maxEntries that may be read with it */
  constructor(private readonly maxEntries = defaultMaxEntries) {
    this.#left = maxEntries * workPerEntry;
  }

  /** Whether `addEntries` or `spend` has refused: it tells the end of the work from what is broken, which has the same code. */
  get isSpent(): boolean {
    return this.#left < 0 || this.#entries > this.maxEntries;
  }

  /** @throws ServiceError BROKEN_ISO when there are more entries than allowed */
  addEntries(count: number): void {
    this.#entries += count;
    if (this.#entries <= this.maxEntries) return;
    throw new ServiceError(
      'BROKEN_ISO',
      `The ISO has more entries here than mount.maxEntries allows: ${this.maxEntries}`,
    );
  }

  /** @throws ServiceError BROKEN_ISO once everything is spent */
  spend(units: number): void {
    this.#left -= units;
    if (this.#left >= 0) return;
    const limit = `the ${this.maxEntries} entries that mount.maxEntries allows`;
    throw new ServiceError('BROKEN_ISO', `The folders of the ISO take more work to read than ${limit}`);
  }
}
