/** A chunk of a file in memory. */
export class Kept {
  /** How many are sending it or wait for it. */
  users = 0;
  /** While it is being read: resolves to whether all of it was there. */
  reading: Promise<boolean> | undefined;
  /** Whether somebody unknown may read its buffer at any later time. */
  isLost = false;

  constructor(
    readonly key: string,
    readonly buffer: Buffer,
    readonly bytes: Buffer,
  ) {}
}

/** Part of the room that may be lent. */
const lentPart = 1 / 4;

/**
 * Chunks up to one size, in buffers that are used again and again. When all are in use as chunks, the chunk that was
 * unused longest goes.
 */
export class Shelf {
  readonly #chunks = new Map<string, Kept>();
  /** Keys only, oldest first: what was wanted lately and is not here. */
  readonly #remembered = new Set<string>();
  /** The last one that was freed is the first one used again: it is still in the processor's cache. */
  readonly #free: Buffer[] = [];
  #buffers = 0;
  #lent = 0;

  /**
   * @param bufferBytes the longest chunk
   * @param room chunks at most
   */
  constructor(
    readonly bufferBytes: number,
    readonly room: number,
  ) {}

  /** Finds a chunk, which puts it behind all others in the line of those that may go. */
  find(key: string): Kept | undefined {
    const kept = this.#chunks.get(key);
    if (kept === undefined) return undefined;
    this.#chunks.delete(key);
    this.#chunks.set(key, kept);
    return kept;
  }

  /** Makes room for a chunk, whose bytes are not there yet; undefined when all that is here is in use. */
  add(key: string, length: number): Kept | undefined {
    const buffer = this.#fresh() ?? this.#evict() ?? this.#free.pop();
    if (buffer === undefined) return undefined;
    const kept = new Kept(key, buffer, buffer.subarray(0, length));
    this.#remembered.delete(key);
    this.#chunks.set(key, kept);
    return kept;
  }

  /** Whether it was wanted lately; if not, from now on it was. */
  wasWanted(key: string): boolean {
    if (this.#remembered.has(key)) return true;
    this.#remember(key);
    return false;
  }

  /** Nobody finds it any more; who uses it goes on. */
  remove(kept: Kept): void {
    if (this.#chunks.get(kept.key) === kept) this.#chunks.delete(kept.key);
  }

  /** The buffer of a chunk that was removed is free. */
  free({ buffer, isLost }: Kept): void {
    this.#drop(buffer, !isLost);
  }

  /** Lends a buffer for bytes that are not kept; undefined when too many are lent, or all are in use. */
  borrow(): Buffer | undefined {
    if (this.#lent >= this.room * lentPart) return undefined;
    const buffer = this.#free.pop() ?? this.#fresh() ?? this.#evict();
    if (buffer !== undefined) this.#lent++;
    return buffer;
  }

  /** @param isUnused false when somebody below may still read it */
  giveBack(buffer: Buffer, isUnused: boolean): void {
    this.#lent--;
    this.#drop(buffer, isUnused);
  }

  #drop(buffer: Buffer, isUnused: boolean): void {
    if (isUnused) this.#free.push(buffer);
    else this.#buffers--;
  }

  #remember(key: string): void {
    const [oldest] = this.#remembered;
    if (oldest !== undefined && this.#remembered.size >= this.room) this.#remembered.delete(oldest);
    this.#remembered.add(key);
  }

  #fresh(): Buffer | undefined {
    if (this.#buffers >= this.room) return undefined;
    this.#buffers++;
    return Buffer.allocUnsafeSlow(this.bufferBytes);
  }

  #evict(): Buffer | undefined {
    for (const kept of this.#chunks.values()) {
      if (kept.users > 0) continue;
      this.#chunks.delete(kept.key);
      this.#remember(kept.key);
      return kept.buffer;
    }
    return undefined;
  }
}
