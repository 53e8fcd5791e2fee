import type { Writable } from 'node:stream';
import { ServiceError } from '../errors.js';
import { Slots } from '../slots.js';
import { hole, type Extent, type OpenFile } from '../tree.js';
import { fill } from '../tree-content.js';
import { type Chunk, ChunkCache, chunkBytes, type Place } from './chunks.js';
import { Outlet } from './outlet.js';
import type { Pace } from './pace.js';
import { SpareBuffers } from './spare-buffers.js';

export interface TransferOptions {
  /** Shared by all transfers of a process. Without it nothing is kept in memory. */
  readonly chunks?: ChunkCache | undefined;
  /** As fast as the client takes it, where it is left out. */
  readonly pace?: Pace | undefined;
  /** Milliseconds, for measuring how fast the client is. */
  readonly now?: () => number;
}

/** A run of bytes to send, and the extent that it is part of. */
interface Piece extends Extent {
  readonly extent: Extent;
}

/** Bytes of a chunk. */
interface Part {
  readonly place: Place;
  readonly from: number;
  readonly length: number;
}

/** Bytes in memory that nobody shares. */
interface Loan {
  readonly bytes: Buffer;
  /** Whether all that was wanted was there. */
  readonly isWhole: boolean;
  readonly giveBack: () => void;
}

/**
 * As many as Node has threads that read: more would wait for each other with a buffer each, and so it is the same few
 * buffers that are filled and sent while the processor still has them in its cache.
 */
const reads = new Slots(4);
/** For clients who take long over a write, of whom there can be thousands. */
const smallBuffers = new SpareBuffers(16 * 1024, 256);
/** For the first pieces of the others, and where no chunk's memory can be had. */
const buffers = new SpareBuffers(128 * 1024, 16);
/** How many of those are in use at the most: beyond that nobody has more than a small one. */
const mostBuffers = 64;
const zeros = Buffer.alloc(128 * 1024);
const noChunks = new ChunkCache(0);

/** The pieces of the extents that cover so many bytes of the file from a start, in order. */
export function slice(extents: readonly Extent[], start: number, length: number): Piece[] {
  const pieces: Piece[] = [];
  let position = 0;
  for (const extent of extents) {
    const from = Math.max(start, position);
    const to = Math.min(start + length, position + extent.length);
    if (from < to) {
      const offset = extent.offset === hole ? hole : extent.offset + from - position;
      pieces.push({ offset, length: to - from, extent });
    }
    position += extent.length;
  }
  return pieces;
}

/** The chunk of a piece's extent in which a byte of the piece lies, and what the piece wants of it from there. */
function partAt({ offset, length, extent }: Piece, done: number): Part {
  const inExtent = offset + done - extent.offset;
  const from = inExtent % chunkBytes;
  const before = inExtent - from;
  const place = { offset: extent.offset + before, length: Math.min(chunkBytes, extent.length - before) };
  return { place, from, length: Math.min(place.length - from, length - done) };
}

// Without this, a file that has come to its end would be asked for more for ever.
function truncated(): ServiceError {
  return new ServiceError('TRUNCATED', 'The file has become shorter while it was sent');
}

/** Sends bytes of a file that are stored as they are. */
class Stored {
  constructor(
    private readonly file: OpenFile,
    private readonly outlet: Outlet,
    private readonly chunks: ChunkCache,
  ) {}

  async send(piece: Piece): Promise<void> {
    for (let done = 0; done < piece.length;) {
      const part = partAt(piece, done);
      // A slow client would hold a chunk for seconds, and a thousand of them all that there are.
      const taken = this.outlet.isSlow ? undefined : this.chunks.take(this.file, part.place);
      // Waited for also when the connection is gone: the descriptor is in use until then.
      const chunk = taken instanceof Promise ? await taken : taken;
      done += await (chunk === undefined ? this.#sendAlone(part) : this.#sendShared(chunk, part));
    }
  }

  /** As much of a part as the client takes without turning out to be slow. */
  async #sendShared(chunk: Chunk, { from, length }: Part): Promise<number> {
    const { outlet } = this;
    try {
      let done = 0;
      while (done < length && !outlet.isSlow) {
        const next = chunk.bytes.subarray(from + done, from + Math.min(length, done + outlet.most));
        await outlet.send(next);
        done += next.length;
      }
      return done;
    } finally {
      chunk.release(outlet.isClear);
    }
  }

  /** A part, by memory that nobody shares. */
  async #sendAlone({ place, from, length }: Part): Promise<number> {
    const { outlet } = this;
    for (let done = 0; done < length;) {
      const wanted = Math.min(outlet.most, length - done);
      const { bytes, isWhole, giveBack } = await reads.run(() => this.#read(place, from + done, wanted));
      try {
        // Not a write of nothing: as long as nothing has gone out, the client can still be told why.
        if (bytes.length > 0) await outlet.sendAtOnce(bytes);
      } finally {
        giveBack();
      }
      if (!isWhole) throw truncated();
      done += bytes.length;
    }
    return length;
  }

  async #read(place: Place, from: number, wanted: number): Promise<Loan> {
    const { buffer, giveBack } = this.#borrow(wanted);
    const bytes = buffer.subarray(0, Math.min(wanted, buffer.length));
    try {
      const filled = await this.#fill(bytes, place, from);
      return { bytes: bytes.subarray(0, filled), isWhole: filled === bytes.length, giveBack };
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** Much memory only for clients that may be fast, and as long as few have it: nobody is known before some writes. */
  #borrow(wanted: number): { readonly buffer: Buffer; readonly giveBack: () => void } {
    const { outlet, chunks } = this;
    const isSmall = outlet.isSlow || wanted <= smallBuffers.bytes;
    const large = isSmall || wanted <= buffers.bytes ? undefined : chunks.borrow();
    if (large !== undefined) return { buffer: large, giveBack: () => chunks.giveBack(large, outlet.isClear) };
    const spare = isSmall || buffers.taken >= mostBuffers ? smallBuffers : buffers;
    const buffer = spare.take();
    // Where sending fails the stream may have the memory still.
    return { buffer, giveBack: () => spare.give(buffer, outlet.isClear) };
  }

  async #fill(bytes: Buffer, place: Place, from: number): Promise<number> {
    const kept = this.outlet.isSlow ? this.chunks.peek(this.file, place) : undefined;
    return kept?.copy(bytes, 0, from) ?? (await fill(bytes, this.file.descriptor, place.offset + from));
  }
}

async function sendAll(outlet: Outlet, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const next = bytes.subarray(done, done + outlet.most);
    await outlet.send(next);
    done += next.length;
  }
}

async function sendZeros(outlet: Outlet, length: number): Promise<void> {
  for (let done = 0; done < length;) {
    const wanted = Math.min(zeros.length, length - done);
    await sendAll(outlet, zeros.subarray(0, wanted));
    done += wanted;
  }
}

async function sendStored(outlet: Outlet, chunks: ChunkCache, file: OpenFile, pieces: readonly Piece[]): Promise<void> {
  const stored = new Stored(file, outlet, chunks);
  for (const piece of pieces) {
    if (piece.offset === hole) await sendZeros(outlet, piece.length);
    else await stored.send(piece);
  }
}

type ReadContent = Exclude<OpenFile['read'], undefined>;

/** Sends bytes of a file where only a function can tell them. */
async function sendContent(outlet: Outlet, readContent: ReadContent, start: number, length: number): Promise<void> {
  for (let done = 0; done < length;) {
    const bytes = await readContent(start + done, Math.min(zeros.length, length - done));
    if (bytes.length === 0) throw truncated();
    await sendAll(outlet, bytes);
    done += bytes.length;
  }
}

/**
 * Writes a slice of an open file to a stream, at the stream's pace. Settles only when it needs the descriptor no more.
 * @param start first byte of the slice
 * @param length bytes: exactly as many are written, or the promise rejects and the caller cuts the connection
 * @throws ServiceError TIMEOUT when the connection is gone, TRUNCATED when the file has become shorter than it was; what
 * the file's own `read` and the pace throw
 */
export async function transfer(
  target: Writable,
  file: OpenFile,
  start: number,
  length: number,
  closed: AbortSignal,
  { chunks = noChunks, pace, now = () => performance.now() }: TransferOptions = {},
): Promise<void> {
  const outlet = new Outlet(target, closed, pace, now);
  try {
    if (file.read === undefined) await sendStored(outlet, chunks, file, slice(file.extents, start, length));
    else await sendContent(outlet, file.read, start, length);
  } finally {
    outlet.end();
  }
}
