import type { ReadAt } from './entries.js';
import { readCost, type Budget } from './budget.js';

/** Receives the fields of one record's System Use area, in order; `at` and `end` bound the field in `bytes`. */
export interface FieldReader {
  field(signature: number, bytes: Buffer, at: number, end: number): void;
}

/** Where a System Use area goes on (SUSP 5.1). */
export interface Continuation {
  readonly block: number;
  readonly offset: number;
  readonly length: number;
}

/** The two letters of a field as the number that `field()` gets. */
export function signature(letters: string): number {
  return letters.charCodeAt(0) * 256 + letters.charCodeAt(1);
}

const CE = signature('CE');
const ST = signature('ST');

/** Linux follows no more; a chain that goes round would never end (CVE-2014-9420). */
const maxHops = 32;

/** Bytes of an area that cost as much as a record: a record of many small fields is long work. */
const bytesPerUnit = 64;

/** Areas follow each other in the order of their records: a few blocks serve a whole folder. */
const maxBlocks = 16;

/**
 * Reads the fields of an area (SUSP 4, 5). A field that does not fit ends it: what came before still counts.
 * @returns where the fields go on, if they do
 */
export function readFields(bytes: Buffer, from: number, to: number, reader: FieldReader): Continuation | undefined {
  let next: Continuation | undefined;
  let at = from;
  while (at + 4 <= to) {
    const end = at + bytes.readUInt8(at + 2);
    const name = bytes.readUInt16BE(at);
    if (end < at + 4 || end > to || name === ST) break;
    if (name !== CE) reader.field(name, bytes, at, end);
    else if (end >= at + 28) next = readContinuation(bytes, at);
    at = end;
  }
  return next;
}

function readContinuation(bytes: Buffer, at: number): Continuation {
  return {
    block: bytes.readUInt32LE(at + 4),
    offset: bytes.readUInt32LE(at + 12),
    length: bytes.readUInt32LE(at + 20),
  };
}

/** Follows the continuations of a folder's records. */
export class Continuations {
  readonly #blocks = new Map<number, Buffer>();

  /** @param bytes of the .iso */
  constructor(
    private readonly read: ReadAt,
    private readonly bytes: number,
    private readonly blockSize: number,
    private readonly budget: Budget,
  ) {}

  /** @returns false when the chain breaks a rule: then the record cannot be believed */
  async follow(first: Continuation, reader: FieldReader): Promise<boolean> {
    let next: Continuation | undefined = first;
    for (let hop = 0; next !== undefined; hop++) {
      if (hop === maxHops || !this.#isInside(next)) return false;
      this.budget.spend(1 + Math.floor(next.length / bytesPerUnit));
      const block: Buffer = this.#blocks.get(next.block) ?? (await this.#load(next.block));
      next = readFields(block, next.offset, next.offset + next.length, reader);
    }
    return true;
  }

  /** Linux refuses an area that leaves its block. */
  #isInside({ block, offset, length }: Continuation): boolean {
    return offset + length <= this.blockSize && (block + 1) * this.blockSize <= this.bytes;
  }

  async #load(number: number): Promise<Buffer> {
    this.budget.spend(readCost);
    const block = await this.read(number * this.blockSize, this.blockSize);
    const [oldest] = this.#blocks.keys();
    if (this.#blocks.size === maxBlocks && oldest !== undefined) this.#blocks.delete(oldest);
    this.#blocks.set(number, block);
    return block;
  }
}
