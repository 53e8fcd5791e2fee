import { type BigIntStats, fstat as fstatCallback, fstatSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { ServiceError, systemCode } from '../errors.js';
import { isLocal } from '../local.js';

/** Half the cost of `FileHandle.stat`, and one for each request. */
const fstat = promisify(fstatCallback);

/** The descriptor of an .iso: closed when the mount and every file that was opened through it have let go. */
export class SharedFile {
  #holders = 0;

  private constructor(
    private readonly handle: FileHandle,
    private readonly isLocal: boolean,
  ) {}

  /** Takes over an open file. Never rejects. */
  static async over(handle: FileHandle): Promise<SharedFile> {
    return new SharedFile(handle, await isLocal(`/proc/self/fd/${handle.fd}`));
  }

  get descriptor(): number {
    return this.handle.fd;
  }

  /** @returns lets go again; safe to call twice, never rejects */
  hold(): () => Promise<void> {
    this.#holders++;
    let isHeld = true;
    return async () => {
      if (!isHeld) return;
      isHeld = false;
      // Nothing was written through it: a failure to close loses nothing.
      if (--this.#holders === 0) await this.handle.close().catch(() => undefined);
    };
  }

  async stat(): Promise<BigIntStats> {
    const options = { bigint: true } as const;
    try {
      // Not put off: of an open file the kernel has all of this in memory, and a thread would cost ten times as much.
      return this.isLocal ? fstatSync(this.handle.fd, options) : await fstat(this.handle.fd, options);
    } catch (cause) {
      throw new ServiceError('INTERNAL', `The ISO cannot be read: ${systemCode(cause) ?? 'unknown'}`, { cause });
    }
  }

  /** Gives what there is, up to `length` bytes. */
  async read(offset: number, length: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length);
    let filled = 0;
    while (filled < length) {
      const { bytesRead } = await this.#readOnce(buffer, filled, offset + filled);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return buffer.subarray(0, filled);
  }

  async #readOnce(buffer: Buffer, filled: number, position: number): Promise<{ bytesRead: number }> {
    try {
      return await this.handle.read(buffer, filled, buffer.length - filled, position);
    } catch (cause) {
      const reason = systemCode(cause) ?? 'unknown';
      throw new ServiceError('INTERNAL', `The ISO cannot be read at byte ${position}: ${reason}`, { cause });
    }
  }
}
