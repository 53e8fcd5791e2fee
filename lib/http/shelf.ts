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

/** Part of the room for chunks that have been wanted once so far. */
const trialPart = 1 / 8;

/**
 * Chunks up to one size, in buffers that are used again and again. What is wanted once passes through a small part of
 * the room, so that one client who reads an ISO from end to end does not drive out what everybody wants; what is wanted
 * again, there or soon after, stays until it is what was unused longest (2Q, Johnson and Shasha 1994).
 */
export class Shelf {
  readonly #trial = new Map<string, Kept>();
  readonly #proven = new Map<string, Kept>();
  /** Keys only, oldest first: what was wanted lately and is not here. */
  readonly #remembered = new Set<string>();
  readonly #free: Buffer[] = [];
  #buffers = 0;

  /**
   * @param bufferBytes the longest chunk
   * @param room chunks at most
   */
  constructor(
    readonly bufferBytes: number,
    readonly room: number,
  ) {}

  /** Finds a chunk, which proves that it is wanted. */
  find(key: string): Kept | undefined {
    const proven = this.#proven.get(key);
    const kept = proven ?? this.#trial.get(key);
    if (kept === undefined) return undefined;
    // Behind all others in the line of those that may go.
    if (proven === undefined) this.#trial.delete(key);
    else this.#proven.delete(key);
    this.#proven.set(key, kept);
    return kept;
  }

  /** Makes room for a chunk, whose bytes are not there yet; undefined when all that is here is in use. */
  add(key: string, length: number): Kept | undefined {
    const buffer = this.#buffer();
    if (buffer === undefined) return undefined;
    const kept = new Kept(key, buffer, buffer.subarray(0, length));
    if (this.#remembered.delete(key)) this.#proven.set(key, kept);
    else this.#trial.set(key, kept);
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
    for (const chunks of [this.#trial, this.#proven]) if (chunks.get(kept.key) === kept) chunks.delete(kept.key);
  }

  /** The buffer of a chunk that was removed is free. */
  free({ buffer, isLost }: Kept): void {
    if (isLost) this.#buffers--;
    else this.#free.push(buffer);
  }

  #remember(key: string): void {
    const [oldest] = this.#remembered;
    if (oldest !== undefined && this.#remembered.size >= this.room) this.#remembered.delete(oldest);
    this.#remembered.add(key);
  }

  #buffer(): Buffer | undefined {
    const isTrialFull = this.#trial.size >= this.room * trialPart;
    return (
      this.#free.pop() ??
      (isTrialFull ? this.#evict(this.#trial) : undefined) ??
      this.#fresh() ??
      this.#evict(this.#proven) ??
      this.#evict(this.#trial)
    );
  }

  #fresh(): Buffer | undefined {
    if (this.#buffers >= this.room) return undefined;
    this.#buffers++;
    return Buffer.allocUnsafeSlow(this.bufferBytes);
  }

  #evict(chunks: Map<string, Kept>): Buffer | undefined {
    for (const kept of chunks.values()) {
      if (kept.users > 0) continue;
      chunks.delete(kept.key);
      this.#remember(kept.key);
      return kept.buffer;
    }
    return undefined;
  }
}
