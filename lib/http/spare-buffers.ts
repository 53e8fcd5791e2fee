/** Buffers of one size that are used again. What is taken is bounded by who takes it, not here. */
export class SpareBuffers {
  readonly #spare: Buffer[] = [];
  #taken = 0;

  /** @param most how many are kept for the next ones to come */
  constructor(
    readonly bytes: number,
    private readonly most: number,
  ) {}

  /** How many are in use. */
  get taken(): number {
    return this.#taken;
  }

  take(): Buffer {
    this.#taken++;
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  /**
   * Takes a buffer back; to be called once for each.
   * @param isUnused false when somebody below may still read it: then it is never used again
   */
  give(buffer: Buffer, isUnused: boolean): void {
    this.#taken--;
    if (isUnused && this.#spare.length < this.most) this.#spare.push(buffer);
  }
}
