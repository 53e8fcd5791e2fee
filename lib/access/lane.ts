import { ServiceError } from '../errors.js';
import { Slots } from '../slots.js';

/** How many may wait for one slot. */
const maxWaiting = 16;

/** Does one costly thing at a time, and refuses what would have to wait for too many others. */
export class Lane {
  readonly #slots = new Slots(1);
  #inside = 0;

  /** @throws ServiceError UNAVAILABLE, before anything is done */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#inside > maxWaiting) {
      throw new ServiceError(
        'UNAVAILABLE',
        'So many credentials are being checked that there is no room; ask again soon',
      );
    }
    this.#inside += 1;
    try {
      return await this.#slots.run(work);
    } finally {
      this.#inside -= 1;
    }
  }
}
