import type { Changes } from './changes.js';
import type { Place } from './facts.js';
import type { StoredFile } from './store.js';

/** What makes the record of a file another one. */
function stampOf({ bytes, modified, sha256 }: StoredFile): string {
  return `${bytes} ${modified.getTime()} ${sha256 ?? ''}`;
}

/**
 * Finds what has changed in a store since the last look, by whatever hand: files can also come and go without the
 * service.
 */
export class FileChanges {
  #known: ReadonlyMap<string, string> | undefined;
  #look: Promise<void> | undefined;
  #isStale = false;

  /** @param list the store's files */
  constructor(
    private readonly place: Place,
    private readonly changes: Changes,
    private readonly list: () => Promise<readonly StoredFile[]>,
  ) {}

  /** Looks, and publishes what is new; the first look takes everything for known. Looks that coincide are one. */
  look(): Promise<void> {
    // What changes while it looks may be missing from what it finds.
    this.#isStale = true;
    this.#look ??= this.#lookWhileStale().finally(() => (this.#look = undefined));
    return this.#look;
  }

  async #lookWhileStale(): Promise<void> {
    while (this.#isStale) {
      this.#isStale = false;
      // One that cannot be listed has said so in the log, and is looked at again.
      const files = await this.list().catch(() => undefined);
      if (files !== undefined) this.#compare(files);
    }
  }

  #compare(files: readonly StoredFile[]): void {
    const before = this.#known;
    const now = new Map(files.map((file) => [file.name, stampOf(file)]));
    this.#known = now;
    if (before === undefined) return;
    for (const name of before.keys()) {
      if (!now.has(name)) this.changes.publish({ kind: 'file-removed', place: this.place, name });
    }
    for (const file of files) {
      if (before.get(file.name) !== now.get(file.name)) {
        this.changes.publish({ kind: 'file', place: this.place, file });
      }
    }
  }
}
