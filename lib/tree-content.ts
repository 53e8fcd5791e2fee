import { read as readCallback } from 'node:fs';
import { promisify } from 'node:util';
import { hole, type OpenFile } from './tree.js';

const read = promisify(readCallback);

/** Bytes of one piece. */
const pieceBytes = 64 * 1024;

/** Fills a buffer from a position on, with as many reads as it takes; gives the bytes that were there. */
export async function fill(buffer: Buffer, descriptor: number, position: number): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await read(descriptor, buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

async function* ofExtents({ extents, descriptor }: OpenFile): AsyncGenerator<Buffer> {
  for (const { offset, length } of extents) {
    for (let at = 0; at < length; at += pieceBytes) {
      const piece = Buffer.alloc(Math.min(pieceBytes, length - at));
      const filled = offset === hole ? piece.length : await fill(piece, descriptor, offset + at);
      yield piece.subarray(0, filled);
      if (filled < piece.length) return;
    }
  }
}

async function* ofReads(size: number, readAt: NonNullable<OpenFile['read']>): AsyncGenerator<Buffer> {
  for (let at = 0; at < size;) {
    const piece = await readAt(at, Math.min(pieceBytes, size - at));
    if (piece.length === 0) return;
    yield piece;
    at += piece.length;
  }
}

/** The bytes of an open file, in pieces, from its start on: fewer than its size where it has become shorter. */
export function contentOf(file: OpenFile): AsyncGenerator<Buffer> {
  return file.read === undefined ? ofExtents(file) : ofReads(file.size, file.read);
}

/** The first bytes of an open file, at most so many. */
export async function startOf(file: OpenFile, limit: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let bytes = 0;
  for await (const piece of contentOf(file)) {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes >= limit) break;
  }
  return Buffer.concat(pieces).subarray(0, limit);
}
