import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere } from '../errors.js';
import type { Origin } from './download.js';
import type { Algorithm, Digests, Hasher, Hashing } from './hashing.js';

/** What is known of a file that has not arrived whole; kept beside its bytes, so that it can be continued after a restart. */
export interface PartRecord {
  /** Of the file in the store. */
  readonly name: string;
  /** Who may continue it: `upload`, or the URL of a download. */
  readonly source: string;
  /** Bytes of the whole file, as far as anybody knows. */
  readonly length?: number | undefined;
  readonly origin?: Origin;
  /** The boot of the machine since which the bytes were written. */
  readonly boot: string;
  /** Bytes that are on the disk whatever happens to the machine. */
  readonly synced: number;
}

// Without a link in its place being followed.
const readAndWrite = constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW;

/** Bytes that are read at a time when a digest has to be made up. */
const block = 1024 * 1024;

/** What tells one boot of the machine from another: what the kernel had not written yet is lost in between. */
export async function bootOf(): Promise<string> {
  return (await ifThere(readFile('/proc/sys/kernel/random/boot_id', 'utf8')))?.trim() ?? '';
}

/** @returns how many bytes there were */
async function writeAll(file: FileHandle, chunks: readonly Buffer[], position: number): Promise<number> {
  let done = 0;
  for (let rest = chunks; rest.length > 0;) {
    const { bytesWritten } = await file.writev(rest, position + done);
    done += bytesWritten;
    rest = after(rest, bytesWritten);
  }
  return done;
}

/** What is left of chunks behind so many bytes. */
function after(chunks: readonly Buffer[], bytes: number): Buffer[] {
  let skipped = 0;
  return chunks.flatMap((chunk) => {
    const begin = Math.min(chunk.length, bytes - skipped);
    skipped += begin;
    return begin < chunk.length ? [chunk.subarray(begin)] : [];
  });
}

/** The bytes of a file that has not arrived whole, out of sight, with the digests of what is there. */
export class Part {
  #file: FileHandle | undefined;
  #hasher: { readonly algorithms: readonly Algorithm[]; readonly state: Hasher } | undefined;
  /** Settles when the last bytes that the hasher got are digested. */
  #digested: Promise<void> = Promise.resolve();

  /**
   * @param stem path without its ending: `.part` for the bytes, `.json` for the record
   * @param record of what is there already
   * @param bytes that are there already
   * @param touched when the last byte came, in milliseconds since 1970
   */
  constructor(
    private readonly stem: string,
    private readonly hashing: Hashing,
    public record?: PartRecord | undefined,
    private count = 0,
    public touched = Date.now(),
  ) {}

  /** Where the part of a file is: names of up to 255 bytes leave no room for an ending. */
  static stemOf(folder: string, name: string): string {
    return join(folder, createHash('sha256').update(name).digest('hex').slice(0, 32));
  }

  /** The bytes, until the file gets its name. */
  get path(): string {
    return `${this.stem}.part`;
  }

  /** How many there are. */
  get bytes(): number {
    return this.count;
  }

  /** Drops what is there. @param record undefined: nobody can continue it */
  async startOver(record: PartRecord | undefined): Promise<void> {
    this.#dropHasher();
    this.count = 0;
    // Before the record: a run that ends in between must not leave the old bytes under the new one.
    await (this.#file?.truncate(0) ?? rm(this.path, { force: true }));
    this.record = record;
    if (record) await this.#saveRecord();
    else await rm(this.#recordPath, { force: true });
  }

  /** Makes ready for more bytes. @param algorithms of the digests that `finish` is to give */
  async open(algorithms: readonly Algorithm[]): Promise<void> {
    const file = (this.#file ??= await this.#openFile());
    if (algorithms.every((algorithm) => this.#hasher?.algorithms.includes(algorithm))) return;
    this.#dropHasher();
    const state = this.hashing.open(algorithms);
    this.#hasher = { algorithms, state };
    for (let at = 0; at < this.count;) {
      const buffer = Buffer.allocUnsafeSlow(Math.min(block, this.count - at));
      const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
      if (bytesRead === 0) throw new Error('The part has lost bytes while it was read');
      await state.update([buffer.subarray(0, bytesRead)]);
      at += bytesRead;
    }
  }

  /** Adds bytes at the end. Their memory is given away: they are digested while the next ones are written. */
  async write(chunks: readonly Buffer[]): Promise<void> {
    const { file, hasher } = this.#opened();
    const [bytes] = await Promise.all([writeAll(file, chunks, this.count), this.#digested]);
    this.#digested = hasher.update(chunks);
    // Told to whoever writes next, or asks for the digests.
    this.#digested.catch(() => undefined);
    this.count += bytes;
    this.touched = Date.now();
  }

  /** Puts all bytes on the disk, for good. @returns their digests */
  async finish(): Promise<Digests> {
    const { file, hasher } = this.#opened();
    const [digests] = await Promise.all([hasher.digest(), file.sync()]);
    this.#hasher = undefined;
    await this.#close();
    return digests;
  }

  /** Lets go of the file, which may be continued later. */
  async pause(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    try {
      await file.sync();
      if (this.record) {
        this.record = { ...this.record, synced: this.count };
        await this.#saveRecord();
      }
    } finally {
      await this.#close();
    }
  }

  /** Leaves nothing. Safe to call twice, and after the bytes have got another name. */
  async remove(): Promise<void> {
    this.#dropHasher();
    try {
      await this.#close();
    } finally {
      await rm(this.path, { force: true });
      await rm(this.#recordPath, { force: true });
    }
  }

  async #openFile(): Promise<FileHandle> {
    const file = await open(this.path, readAndWrite);
    try {
      // Bytes that somebody has removed must not become zeros.
      if ((await file.stat()).size < this.count) throw new Error('The part has lost bytes since it was kept');
      await file.truncate(this.count);
      return file;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get #recordPath(): string {
    return `${this.stem}.json`;
  }

  #opened() {
    if (this.#file === undefined || this.#hasher === undefined) throw new Error('The part is not open');
    return { file: this.#file, hasher: this.#hasher.state };
  }

  // Not by replaceFile: one that is lost or half-written in a power cut costs no more than a transfer begun anew.
  #saveRecord(): Promise<void> {
    return writeFile(this.#recordPath, JSON.stringify(this.record), { mode: 0o600 });
  }

  #dropHasher(): void {
    this.#hasher?.state.discard();
    this.#hasher = undefined;
    this.#digested = Promise.resolve();
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close();
  }
}
