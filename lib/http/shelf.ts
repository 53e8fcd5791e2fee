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

/** Buffers that are used again and again: the last one that came back first, as the processor still has it in its cache. */
class Buffers {
  readonly #free: Buffer[] = [];
  #made = 0;

  /** @param most at the most */
  constructor(
    readonly bytes: number,
    readonly most: number,
  ) {}

  take(): Buffer | undefined {
    return this.#free.pop() ?? this.#fresh();
  }

  /** @param isUnused false when somebody below may still read it: then another one is made in its place */
  giveBack(buffer: Buffer, isUnused: boolean): void {
    if (isUnused) this.#free.push(buffer);
    else this.#made--;
  }

  #fresh(): Buffer | undefined {
    if (this.#made >= this.most) return undefined;
    this.#made++;
    return Buffer.allocUnsafeSlow(this.bytes);
  }
}

/** Chunks up to one size. When there is no room for another one, the one that was unused longest goes. */
export class Shelf {
  readonly #chunks = new Map<string, Kept>();
  /** Keys only, oldest first: what was wanted lately and is not here. */
  readonly #remembered = new Set<string>();
  readonly #buffers: Buffers;
  /** For bytes that are not kept: who needs them drives no chunk out. */
  readonly #lent: Buffers;

  /**
   * @param bufferBytes the longest chunk
   * @param room chunks at most
   * @param lent buffers at most that are lent, beside these
   */
  constructor(
    bufferBytes: number,
    readonly room: number,
    lent = 0,
  ) {
    this.#buffers = new Buffers(bufferBytes, room);
    this.#lent = new Buffers(bufferBytes, lent);
  }

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
    const buffer = this.#buffers.take() ?? this.#evict();
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
    this.#buffers.giveBack(buffer, !isLost);
  }

  /** Lends a buffer for bytes that are not kept; undefined when all of those are lent. */
  borrow(): Buffer | undefined {
    return this.#lent.take();
  }

  /** @param isUnused false when somebody below may still read it */
  giveBack(buffer: Buffer, isUnused: boolean): void {
    this.#lent.giveBack(buffer, isUnused);
  }

  #remember(key: string): void {
    const [oldest] = this.#remembered;
    if (oldest !== undefined && this.#remembered.size >= this.room) this.#remembered.delete(oldest);
    this.#remembered.add(key);
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
