import type { Children, IsoFolder } from './entries.js';
import type { Budget } from './budget.js';

type ReadChildren = (folder: IsoFolder, budget?: Budget) => Promise<Children>;

interface Kept {
  readonly children: Promise<Children>;
  /** 0 until the folder is read. */
  size: number;
}

/** Entries that one volume keeps: some tens of megabytes, and the whole tree of any usual ISO. */
const maxEntries = 200_000;

/** Keeps the folders that were read last. Whoever asks while a folder is being read waits for the same reading. */
export class FolderCache {
  readonly #kept = new Map<IsoFolder, Kept>();
  #entries = 0;

  /** @param limit entries to keep; a folder that has more is kept until the next one comes */
  constructor(
    private readonly read: ReadChildren,
    private readonly limit = maxEntries,
  ) {}

  get(folder: IsoFolder, budget?: Budget): Promise<Children> {
    const kept = this.#kept.get(folder) ?? { children: this.#load(folder, budget), size: 0 };
    // A Map keeps the order of insertion: what was used last stands last.
    this.#kept.delete(folder);
    this.#kept.set(folder, kept);
    return kept.children;
  }

  async #load(folder: IsoFolder, budget?: Budget): Promise<Children> {
    try {
      const children = await this.read(folder, budget);
      this.#settle(folder, { children: Promise.resolve(children), size: children.size + 1 });
      return children;
    } catch (error) {
      // The next reading may go better: a disk error passes, and so does the end of somebody's `Budget`.
      this.#kept.delete(folder);
      throw error;
    }
  }

  #settle(folder: IsoFolder, kept: Kept): void {
    this.#kept.set(folder, kept);
    this.#entries += kept.size;
    for (const [oldest, { size }] of this.#kept) {
      if (this.#entries <= this.limit || oldest === folder) return;
      // What is still being read is not counted yet.
      if (size === 0) continue;
      this.#kept.delete(oldest);
      this.#entries -= size;
    }
  }
}
