/** Buffers of one size that are used again. What is taken is bounded by who takes it, not here. */
export class SpareBuffers {
  readonly #spare: Buffer[] = [];

  /** @param most how many are kept for the next ones to come */
  constructor(
    readonly bytes: number,
    private readonly most: number,
  ) {}

  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.bytes);
  }

  /** Takes a buffer back that nobody reads or writes any more. */
  give(buffer: Buffer): void {
    if (this.#spare.length < this.most) this.#spare.push(buffer);
  }
}
