interface Kept<Children> {
  readonly children: Promise<Children>;
  /** 0 until the folder is read. */
  size: number;
}

/** Entries that one volume keeps: some tens of megabytes, and the whole tree of any usual ISO. */
const maxEntries = 200_000;

/** Characters of a link's target that take about as much memory as an entry. */
const charactersPerEntry = 64;

/** What of an entry may take much memory. */
interface Entry {
  readonly type: string;
  readonly extents?: readonly object[];
  readonly target?: string;
}

function weightOf({ extents = [], target = '' }: Entry): number {
  return Math.max(extents.length, 1) + target.length / charactersPerEntry;
}

/** What a folder takes, in entries: a file of many extents takes more than one, and an empty folder some of one. */
function weigh(children: ReadonlyMap<string, Entry>): number {
  let weight = 1;
  for (const entry of children.values()) weight += weightOf(entry);
  return weight;
}

/** Keeps the folders that were read last. Whoever asks while a folder is being read waits for the same reading. */
export class FolderCache<Children extends ReadonlyMap<string, Entry>> {
  readonly #kept = new Map<object, Kept<Children>>();
  #entries = 0;

  /** @param limit entries to keep; a folder that has more is kept until the next one comes */
  constructor(private readonly limit = maxEntries) {}

  /** What a folder holds: as it is kept, or else as `read` gives it. */
  get(folder: object, read: () => Promise<Children>): Promise<Children> {
    const kept = this.#kept.get(folder) ?? { children: this.#load(folder, read), size: 0 };
    // A Map keeps the order of insertion: what was used last stands last.
    this.#kept.delete(folder);
    this.#kept.set(folder, kept);
    return kept.children;
  }

  async #load(folder: object, read: () => Promise<Children>): Promise<Children> {
    try {
      const children = await read();
      this.#settle(folder, { children: Promise.resolve(children), size: weigh(children) });
      return children;
    } catch (error) {
      // The next reading may go better: a disk error passes, and so does the end of somebody's `Budget`.
      this.#kept.delete(folder);
      throw error;
    }
  }

  #settle(folder: object, kept: Kept<Children>): void {
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
