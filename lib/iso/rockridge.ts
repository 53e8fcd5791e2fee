import type { Zisofs } from './entries.js';
import { decodeText, findNul } from './names.js';
import { type FieldReader, signature } from './susp.js';
import { digitsTime, recordTime } from './times.js';

const CL = signature('CL');
const ER = signature('ER');
const NM = signature('NM');
const PX = signature('PX');
const RE = signature('RE');
const SL = signature('SL');
const SP = signature('SP');
const TF = signature('TF');
const ZF = signature('ZF');

/** The algorithm of zisofs version 1; version 2 is `PZ`, which Linux does not know. */
const pagedZlib = signature('pz');

/** Powers of two that the block size of zisofs may be; the first is what mkzftree makes, the last what Linux reads. */
const [minBlockPower, maxBlockPower] = [15, 17];

/** Bytes of a name, and of a link's target: what Linux allows in any file system. */
const maxNameBytes = 255;
const maxTargetBytes = 4096;

const nothing = Buffer.alloc(0);

/** The bytes that a component of a link's target stands for; undefined for a kind that RRIP 4.1.3.1 does not define. */
function componentBytes(flags: number, text: Buffer): Buffer | undefined {
  switch (flags & ~1) {
    case 0:
      return text;
    case 2:
      return Buffer.from('.');
    case 4:
      return Buffer.from('..');
    case 8: // the root: nothing, then the slash that follows every component
      return nothing;
    default:
      return undefined;
  }
}

/** Puts the components of SL fields together (RRIP 4.1.3). */
class LinkTarget {
  readonly #components: string[] = [];
  #parts: Buffer[] = [];
  #length = 0;
  #broken = false;

  /** Undefined when a component is of an unknown kind, does not fit its field, or the whole is too long. */
  get text(): string | undefined {
    if (this.#broken || this.#parts.length > 0 || this.#components.length === 0) return undefined;
    return this.#components.join('/') || '/';
  }

  addField(bytes: Buffer, from: number, to: number): void {
    let at = from;
    while (at + 2 <= to) {
      const end = at + 2 + bytes.readUInt8(at + 1);
      this.#length += end - at;
      const part = componentBytes(bytes.readUInt8(at), bytes.subarray(at + 2, end));
      if (part === undefined || end > to || this.#length > maxTargetBytes) {
        this.#broken = true;
        return;
      }
      this.#addPart(part, (bytes.readUInt8(at) & 1) === 1);
      at = end;
    }
  }

  /** A long component comes in several parts, and a part may end inside a character. */
  #addPart(part: Buffer, isContinued: boolean): void {
    this.#parts.push(part);
    if (isContinued) return;
    this.#components.push(decodeText(this.#parts.length === 1 ? part : Buffer.concat(this.#parts)));
    this.#parts = [];
  }
}

/** What the Rock Ridge fields of one record say (IEEE P1282). */
export class Attributes implements FieldReader {
  /** File type and permissions as in POSIX; undefined without PX. */
  mode: number | undefined;
  /** Milliseconds since 1970. */
  modified: number | undefined;
  /** The logical block of the folder that this record stands for (CL). */
  relocatedTo: number | undefined;
  /** The folder is shown in another place, by a CL (RE). */
  isRelocated = false;
  /** Undefined for what is served as it is stored: uncompressed, or compressed in a way that Linux does not read. */
  zisofs: Zisofs | undefined;
  // The name is decoded where it lies: a copy for each of many thousand entries takes most of the time.
  #nameBytes: Buffer = nothing;
  #nameFrom = 0;
  #nameTo = 0;
  #link: LinkTarget | undefined;

  /** Undefined without NM: then the record's identifier names the file. */
  get name(): string | undefined {
    if (this.#nameFrom === this.#nameTo) return undefined;
    return decodeText(this.#nameBytes, this.#nameFrom, this.#nameTo);
  }

  get hasTarget(): boolean {
    return this.#link !== undefined;
  }

  /** A link's target; undefined when it is broken. */
  get target(): string | undefined {
    return this.#link?.text;
  }

  field(name: number, bytes: Buffer, at: number, end: number): void {
    if (name === NM) this.#addName(bytes, at, end);
    else if (name === TF) this.#addTimes(bytes, at, end);
    else if (name === PX && end >= at + 12) this.mode = bytes.readUInt32LE(at + 4);
    else if (name === CL && end >= at + 12) this.relocatedTo = bytes.readUInt32LE(at + 4);
    else if (name === RE) this.isRelocated = true;
    else if (name === SL && end >= at + 5) (this.#link ??= new LinkTarget()).addField(bytes, at + 5, end);
    else if (name === ZF && end >= at + 16) this.#addCompression(bytes, at);
  }

  /** ZF, which no standard has: algorithm, header size, block size, uncompressed size. Like Linux, the last one counts. */
  #addCompression(bytes: Buffer, at: number): void {
    const power = bytes.readUInt8(at + 7);
    if (bytes.readUInt16BE(at + 4) !== pagedZlib || power < minBlockPower || power > maxBlockPower) return;
    this.zisofs = {
      headerBytes: bytes.readUInt8(at + 6) * 4,
      blockBytes: 2 ** power,
      size: bytes.readUInt32LE(at + 8),
    };
  }

  /** RRIP 4.1.4. Like Linux: flagged as `.` or `..` it names nothing; what would make the name too long is left out. */
  #addName(bytes: Buffer, at: number, end: number): void {
    if (end < at + 5 || (bytes.readUInt8(at + 4) & ~1) !== 0) return;
    const to = findNul(bytes, at + 5, end);
    if (to === at + 5) return;
    const before = this.#nameBytes.subarray(this.#nameFrom, this.#nameTo);
    if (before.length + to - (at + 5) > maxNameBytes) return;
    const isFirst = before.length === 0;
    const parts = isFirst ? bytes : Buffer.concat([before, bytes.subarray(at + 5, to)]);
    this.#nameBytes = parts;
    this.#nameFrom = isFirst ? at + 5 : 0;
    this.#nameTo = isFirst ? to : parts.length;
  }

  /** RRIP 4.1.6: the time of modification comes second, behind that of creation if that is there. */
  #addTimes(bytes: Buffer, at: number, end: number): void {
    const flags = end > at + 4 ? bytes.readUInt8(at + 4) : 0;
    if ((flags & 2) === 0) return;
    const isLong = (flags & 0x80) !== 0;
    const size = isLong ? 17 : 7;
    const start = at + 5 + (flags & 1) * size;
    if (start + size > end) return;
    this.modified = isLong ? digitsTime(bytes, start) : recordTime(bytes, start);
  }
}

/** What the root's own record says about the whole volume (SUSP 5.3, 5.5). */
export class Declaration implements FieldReader {
  /** Bytes to leave out at the start of every System Use field; undefined without SP. */
  skip: number | undefined;
  /** An extension is declared. Like Linux, any: writers have called Rock Ridge by several names. */
  isExtended = false;

  field(name: number, bytes: Buffer, at: number, end: number): void {
    if (name === ER) this.isExtended = true;
    if (name === SP && end >= at + 7 && bytes.readUInt16BE(at + 4) === 0xbeef) this.skip = bytes.readUInt8(at + 6);
  }
}
