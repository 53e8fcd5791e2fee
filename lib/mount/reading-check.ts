import { ServiceError } from '../errors.js';
import type { View } from '../iso/volume.js';
import type { Attacher } from './attacher.js';
import type { Reading } from './open-iso.js';

/** Asks about an .iso once, and again when it was changed: what is refused at first is refused then, too. */
export class ReadingCheck {
  #view: View | undefined;
  #passed: Reading | undefined;

  constructor(private readonly attacher: Pick<Attacher, 'check'>) {}

  /** @throws ServiceError UNSUPPORTED_ISO, and as `MountDriver.mount` does */
  async ask(reading: Reading): Promise<void> {
    if (reading === this.#passed) return;
    const { view } = reading.volume;
    // The image's record says which tree it was at first.
    const first = (this.#view ??= view);
    if (view !== first) {
      throw new ServiceError(
        'UNSUPPORTED_ISO',
        `The ISO was changed: in place of its ${first} tree it has ${view} now`,
      );
    }
    await this.attacher.check?.(reading);
    this.#passed = reading;
  }
}
