import { sectorBytes } from './entries.js';
import { recordTime } from './times.js';

/** File flags of a directory record (ECMA-119 9.1.6). */
export const recordFlags = { directory: 0x02, associated: 0x04, multiExtent: 0x80 } as const;

/** A record of 33 bytes and an identifier of one. */
const shortestRecord = 34;

/** A directory record (ECMA-119 9.1), read where it lies: big folders have many of them. */
export class DirectoryRecord {
  /** Where its System Use field begins and ends in `bytes`. */
  readonly systemUse: number;
  readonly end: number;

  /** @param at a record that `readRecord` has checked */
  constructor(
    readonly bytes: Buffer,
    private readonly at: number,
  ) {
    this.end = at + bytes.readUInt8(at);
    const nameLength = bytes.readUInt8(at + 32);
    // A padding byte makes the field start at an even position (ECMA-119 9.1.12).
    this.systemUse = Math.min(at + 34 + nameLength - (nameLength & 1), this.end);
  }

  /** Logical block of the first byte of data: the extent's location behind its extended attribute record. */
  get block(): number {
    // Like Linux, only the little-endian halves: writers have got the other ones wrong.
    return this.bytes.readUInt32LE(this.at + 2) + this.bytes.readUInt8(this.at + 1);
  }

  /** Bytes of data. */
  get length(): number {
    return this.bytes.readUInt32LE(this.at + 10);
  }

  get flags(): number {
    return this.bytes.readUInt8(this.at + 25);
  }

  get isInterleaved(): boolean {
    return this.bytes.readUInt8(this.at + 27) !== 0;
  }

  /** Milliseconds since 1970; undefined when no valid time is recorded. */
  get modified(): number | undefined {
    return recordTime(this.bytes, this.at + 18);
  }

  get identifier(): Buffer {
    return this.bytes.subarray(this.at + 33, this.at + 33 + this.bytes.readUInt8(this.at + 32));
  }

  /** The folder's record of itself: its identifier is one byte 0 (ECMA-119 6.8.2.2). */
  get isSelf(): boolean {
    return this.#isNamed(0);
  }

  /** The folder's record of its parent: its identifier is one byte 1. */
  get isParent(): boolean {
    return this.#isNamed(1);
  }

  #isNamed(byte: number): boolean {
    return this.bytes[this.at + 32] === 1 && this.bytes[this.at + 33] === byte;
  }
}

/** Reads one record; undefined when its identifier is empty or does not fit into it. */
export function readRecord(bytes: Buffer, at: number): DirectoryRecord | undefined {
  const length = bytes.readUInt8(at);
  if (length < shortestRecord || at + length > bytes.length) return undefined;
  const nameLength = bytes.readUInt8(at + 32);
  return nameLength === 0 || 33 + nameLength > length ? undefined : new DirectoryRecord(bytes, at);
}

/** The valid records of a folder, its own and its parent's included. No record crosses a sector (ECMA-119 6.8.1.1). */
export function* readRecords(folder: Buffer): Generator<DirectoryRecord> {
  let at = 0;
  while (at < folder.length) {
    const sectorEnd = Math.min(at - (at % sectorBytes) + sectorBytes, folder.length);
    const length = folder.readUInt8(at);
    // 0 is the padding at the end of a sector. After any other length that cannot be, nothing tells where a record is.
    if (length < shortestRecord || at + length > sectorEnd) {
      at = sectorEnd;
      continue;
    }
    const record = readRecord(folder, at);
    if (record !== undefined) yield record;
    at += length;
  }
}
