import { read as readCallback } from 'node:fs';
import type { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { ServiceError } from '../errors.js';
import { hole, type Extent, type OpenFile } from '../tree.js';

const read = promisify(readCallback);

/** Bytes read and written at a time: a transfer never holds more, whatever the size of its file. */
const chunkBytes = 128 * 1024;
const zeros = Buffer.alloc(chunkBytes);

/** The pieces of the extents that cover so many bytes of the file from a start, in order. */
export function slice(extents: readonly Extent[], start: number, length: number): Extent[] {
  const pieces: Extent[] = [];
  let position = 0;
  for (const extent of extents) {
    const from = Math.max(start, position);
    const to = Math.min(start + length, position + extent.length);
    if (from < to) {
      const offset = extent.offset === hole ? hole : extent.offset + from - position;
      pieces.push({ offset, length: to - from });
    }
    position += extent.length;
  }
  return pieces;
}

/** Resolves once the bytes are with the kernel, so that their buffer may be used again. */
function write(target: Writable, chunk: Buffer, closed: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new ServiceError('TIMEOUT', 'The client closed the connection'));
    if (closed.aborted) {
      gone();
      return;
    }
    // A pipelined answer that waits for its turn is never told that its connection has closed.
    closed.addEventListener('abort', gone, { once: true });
    target.write(chunk, (error) => {
      closed.removeEventListener('abort', gone);
      if (error) gone();
      else resolve();
    });
  });
}

/** The bytes of a slice where they are stored as they are. A chunk is good until the next one is asked for. */
async function* storedChunks(file: OpenFile, start: number, length: number): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, length));
  for (const piece of slice(file.extents, start, length)) {
    for (let done = 0; done < piece.length;) {
      const wanted = Math.min(chunkBytes, piece.length - done);
      let chunk = zeros.subarray(0, wanted);
      if (piece.offset !== hole) {
        const { bytesRead } = await read(file.descriptor, buffer, 0, wanted, piece.offset + done);
        chunk = buffer.subarray(0, bytesRead);
      }
      yield chunk;
      done += chunk.length;
    }
  }
}

type ReadContent = Exclude<OpenFile['read'], undefined>;

/** The bytes of a slice where only a function can tell them. */
async function* contentChunks(readContent: ReadContent, start: number, length: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < length;) {
    const chunk = await readContent(start + done, Math.min(chunkBytes, length - done));
    yield chunk;
    done += chunk.length;
  }
}

/**
 * Writes a slice of an open file to a stream, at the stream's pace.
 * @param start first byte of the slice
 * @param length bytes: exactly as many are written, or the promise rejects and the caller cuts the connection
 * @throws ServiceError TRUNCATED when the file has become shorter than it was, and what the file's own `read` throws
 */
export async function transfer(target: Writable, file: OpenFile, start: number, length: number, closed: AbortSignal) {
  const chunks = file.read === undefined ? storedChunks(file, start, length) : contentChunks(file.read, start, length);
  for await (const chunk of chunks) {
    // Without this, a file that has come to its end would be asked for more for ever.
    if (chunk.length === 0) throw new ServiceError('TRUNCATED', 'The file has become shorter while it was sent');
    await write(target, chunk, closed);
  }
}
