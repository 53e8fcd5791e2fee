import { promisify } from 'node:util';
import { inflate as inflateWithCallback } from 'node:zlib';
import { ServiceError, systemCode } from '../errors.js';
import { type Extent, hole, type ReadAt, type Zisofs } from './entries.js';

const inflate = promisify(inflateWithCallback);

/** The first bytes of every file that is compressed by zisofs, version 1. */
const magic = Buffer.from([0x37, 0xe4, 0x53, 0x96, 0xc9, 0xdb, 0xd6, 0x07]);

const pointerBytes = 4;

/** Pointers that are kept: those of the blocks that come next. A file of 4 GiB has half a megabyte of them. */
const keptPointers = 1024;

/** The content of a block whose stored size is 0; large enough for the largest block. */
const zeros = Buffer.alloc(2 ** 17);

function broken(what: string, cause?: unknown): ServiceError {
  return new ServiceError('BROKEN_ISO', `A compressed file of the ISO cannot be right: ${what}`, { cause });
}

/** Bytes that zlib takes at the most for so many that cannot be compressed; more is what Linux refuses too. */
function deflateBound(bytes: number): number {
  return bytes + ((bytes + 7) >> 3) + ((bytes + 63) >> 6) + 11;
}

/** Decompresses one block, which may not give more than a block however well it was compressed. */
async function inflateBlock(stored: Buffer, blockBytes: number): Promise<Buffer> {
  try {
    return await inflate(stored, { chunkSize: blockBytes, maxOutputLength: blockBytes });
  } catch (cause) {
    // No memory says nothing about the file.
    if (systemCode(cause) === 'Z_MEM_ERROR') throw cause;
    throw broken('one of its blocks cannot be decompressed', cause);
  }
}

/**
 * Reads an open file that zisofs, version 1, has compressed: a header, a table of little-endian pointers to the blocks
 * and to the end of the last one, and the blocks, each a stream of zlib. Holds one block in memory, whatever the size.
 */
export class ZisofsReader {
  readonly #storedBytes: number;
  readonly #blockCount: number;
  #checked = false;
  /** Pointers of the table, from that of this block on. */
  #pointers: Buffer = Buffer.alloc(0);
  #firstPointer = 0;

  constructor(
    private readonly readIso: ReadAt,
    private readonly extents: readonly Extent[],
    private readonly zisofs: Zisofs,
  ) {
    this.#storedBytes = extents.reduce((sum, { length }) => sum + length, 0);
    this.#blockCount = Math.ceil(zisofs.size / zisofs.blockBytes);
  }

  /**
   * Gives the decompressed bytes from `position`, which is inside of the file, to the end of their block, and at most
   * `length`: who reads on from there has no block decompressed twice. Nobody may write into them.
   * @throws ServiceError BROKEN_ISO when the table or the block contradicts itself
   */
  async read(position: number, length: number): Promise<Buffer> {
    const { blockBytes } = this.zisofs;
    const from = position % blockBytes;
    const block = await this.#readBlock(Math.floor(position / blockBytes));
    return block.subarray(from, from + length);
  }

  async #readBlock(index: number): Promise<Buffer> {
    const { blockBytes, size } = this.zisofs;
    const bytes = Math.min(blockBytes, size - index * blockBytes);
    await this.#check();
    const [start, end] = await this.#findBlock(index);
    if (start === end) return zeros.subarray(0, bytes);
    const block = await inflateBlock(await this.#readStored(start, end - start), blockBytes);
    if (block.length < bytes) throw broken(`a block has ${block.length} bytes instead of ${bytes}`);
    return block.subarray(0, bytes);
  }

  /**
   * Linux looks at neither. But a file that is not compressed at all could read as zeros, which nothing would show: its
   * bytes, taken for pointers, need only be equal. Every other mistake shows in the checksum of a block.
   */
  async #check(): Promise<void> {
    if (this.#checked) return;
    const tableEnd = this.zisofs.headerBytes + (this.#blockCount + 1) * pointerBytes;
    if (tableEnd > this.#storedBytes)
      throw broken(`its table of blocks ends at byte ${tableEnd} of ${this.#storedBytes}`);
    if (!(await this.#readStored(0, magic.length)).equals(magic)) throw broken('it does not begin as one');
    this.#checked = true;
  }

  /** @returns where the block begins and ends in what is stored */
  async #findBlock(index: number): Promise<[start: number, end: number]> {
    const { pointers, first } = await this.#loadPointers(index);
    const at = (index - first) * pointerBytes;
    const [start, end] = [pointers.readUInt32LE(at), pointers.readUInt32LE(at + pointerBytes)];
    const { blockBytes } = this.zisofs;
    if (start > end || end > this.#storedBytes || end - start > deflateBound(blockBytes)) {
      throw broken(`block ${index} is said to be at bytes ${start} to ${end} of ${this.#storedBytes}`);
    }
    return [start, end];
  }

  async #loadPointers(index: number): Promise<{ pointers: Buffer; first: number }> {
    const kept = { pointers: this.#pointers, first: this.#firstPointer };
    const last = kept.first + kept.pointers.length / pointerBytes - 1;
    if (index >= kept.first && index < last) return kept;
    const count = Math.min(keptPointers, this.#blockCount + 1 - index);
    const place = this.zisofs.headerBytes + index * pointerBytes;
    const pointers = await this.#readStored(place, count * pointerBytes);
    this.#pointers = pointers;
    this.#firstPointer = index;
    return { pointers, first: index };
  }

  /** Gives bytes as they are stored, which may be in several extents. */
  async #readStored(position: number, length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let before = 0;
    for (const extent of this.extents) {
      const from = Math.max(position - before, 0);
      const to = Math.min(position + length - before, extent.length);
      if (from < to) parts.push(await this.#readExtent(extent, from, to - from));
      before += extent.length;
    }
    const [only, ...more] = parts;
    return only !== undefined && more.length === 0 ? only : Buffer.concat(parts);
  }

  async #readExtent({ offset }: Extent, from: number, length: number): Promise<Buffer> {
    return offset === hole ? Buffer.alloc(length) : this.readIso(offset + from, length);
  }
}
