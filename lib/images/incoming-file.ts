import { createHash, randomUUID } from 'node:crypto';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { ServiceError, systemFailure } from '../errors.js';
import { pump } from './pump.js';

/** Where the bytes of a file come from; `complete` resolves when none is missing. */
export interface Source {
  readonly stream: Readable;
  complete(): Promise<void>;
}

/** A file on its way into a store: written out of sight, and given its name only when it is whole and on the disk. */
export class IncomingFile {
  readonly #temporary: string;
  /** Bytes that the disk needs room for, as far as anybody knows. */
  promised: number;
  #bytes = 0;
  #sha256 = '';
  #released = false;

  /**
   * @param folder where the file is written, on the file system of the store
   * @param length bytes that were announced, if any
   * @param check looks at the complete file under its temporary name, and throws to refuse it
   * @param move gives the finished file its name; the store's part
   * @param release ends the claim on the name; called once, whatever happens
   */
  constructor(
    folder: string,
    readonly length: number | undefined,
    private readonly check: (path: string) => Promise<void>,
    private readonly move: (incoming: IncomingFile) => Promise<void>,
    private readonly release: () => void,
  ) {
    this.promised = length ?? 0;
    this.#temporary = join(folder, `${randomUUID()}.part`);
  }

  /** The file under its temporary name. */
  get path(): string {
    return this.#temporary;
  }

  /** Bytes received so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Hexadecimal, once all is received. */
  get sha256(): string {
    return this.#sha256;
  }

  /**
   * Receives the file, checks it and puts it in its place; or throws and leaves everything as it was.
   * @param openSource gives the bytes
   * @param progress told the bytes so far, after each write
   * @throws ServiceError BAD_REQUEST (incomplete or empty), NO_SPACE, and what source and check throw
   */
  async take(openSource: () => Source | Promise<Source>, progress: (bytes: number) => void): Promise<void> {
    try {
      await this.#write(await openSource(), progress);
      await this.check(this.#temporary);
      await this.move(this);
    } catch (error) {
      throw systemFailure(error) ?? error;
    } finally {
      await this.discard();
    }
  }

  /** Gives the name free again and removes what has no name yet. Safe to call twice. */
  async discard(): Promise<void> {
    try {
      await rm(this.#temporary, { force: true });
    } finally {
      // By now the name may be somebody else's.
      if (!this.#released) this.release();
      this.#released = true;
    }
  }

  async #write(source: Source, progress: (bytes: number) => void): Promise<void> {
    const file = await open(this.#temporary, 'wx');
    try {
      const hash = createHash('sha256');
      await pump(source.stream, async (bytes) => {
        const written = writeAll(file, bytes);
        // While the disk is at work.
        hash.update(bytes);
        await written;
        this.#bytes += bytes.length;
        progress(this.#bytes);
      });
      await source.complete();
      this.#sha256 = hash.digest('hex');
      if (this.#bytes === 0) throw new ServiceError('BAD_REQUEST', 'The file is empty');
      if (this.length !== undefined && this.#bytes !== this.length) {
        const message = `The file ended after ${this.#bytes} of ${this.length} bytes`;
        throw new ServiceError('BAD_REQUEST', message);
      }
      await file.sync();
    } finally {
      await file.close();
    }
  }
}

async function writeAll(file: FileHandle, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done);
    done += bytesWritten;
  }
}
