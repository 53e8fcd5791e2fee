import type { Readable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { ServiceError } from '../errors.js';
import type { Continuation, FarEndOptions, Opened, Origin } from './download-far-end.js';
import { badGateway, TemporaryFailure } from './download-failure.js';
import { openFtp } from './download-ftp.js';
import { openHttp } from './download-http.js';

export type { Origin };

/** The file that a download fills. */
export interface Target {
  /** Bytes that it has on disk. */
  readonly bytes: number;
  /** Of the bytes that it has; undefined for a new file. Survives a restart of the service. */
  readonly origin: Origin | undefined;
  /** Drops all bytes and starts anew with a file of this origin. @throws ServiceError NO_SPACE */
  begin(origin: Origin): Promise<void>;
  /** Adds what a stream gives; rejects with the stream's error, keeping the bytes before it. */
  append(stream: Readable): Promise<void>;
}

export interface DownloadOptions extends FarEndOptions {
  /** How often in a row it may fail without a single new byte, and how often the file may begin anew; 8. */
  readonly tries?: number;
  /** Waits between two tries, in milliseconds; real time unless given. Rejects after an abort. */
  readonly delay?: (milliseconds: number, signal: AbortSignal) => Promise<unknown>;
}

/** The options that all downloads have in common. */
export type DownloadPolicy = Omit<DownloadOptions, 'signal'>;

const firstPause = 1000;
const longestPause = 30_000;
/** No server may keep a download waiting for longer than this. */
const longestRetryAfter = 300_000;

function realDelay(milliseconds: number, signal: AbortSignal): Promise<unknown> {
  return wait(milliseconds, undefined, { signal });
}

function open(url: URL, options: FarEndOptions, continuation?: Continuation): Promise<Opened> {
  return url.protocol === 'ftp:' ? openFtp(url, options, continuation) : openHttp(url, options, continuation);
}

/** Milliseconds: twice as long after each failure, and not the same for all whom one server has failed. */
function pauseAfter(failures: number, { retryAfter = 0 }: TemporaryFailure): number {
  const pause = Math.min(longestPause, firstPause * 2 ** (failures - 1)) * (1 - Math.random() / 4);
  return Math.max(pause, Math.min(retryAfter, longestRetryAfter));
}

function isWhole({ bytes, origin }: Target): boolean {
  return bytes > 0 && bytes === origin?.length;
}

function continuationOf(target: Target): Continuation | undefined {
  const { bytes, origin } = target;
  const { validator, length } = origin ?? {};
  if (validator === undefined || bytes === 0 || (length !== undefined && bytes > length)) return undefined;
  // The last byte of a whole file is asked for again, to learn whether it still is the file of the far end.
  const offset = isWhole(target) ? bytes - 1 : bytes;
  return offset === 0 ? undefined : { offset, origin: { validator, length } };
}

/** One file on its way, by as many tries as it takes. */
class Transfer {
  #begins = 0;
  /** Bytes that were there before the last try brought any. */
  #base = 0;

  constructor(
    private readonly url: URL,
    private readonly target: Target,
    private readonly options: DownloadOptions,
    private readonly tries: number,
  ) {}

  /** Whether the last try brought a byte, also when it failed. */
  get hasProgress(): boolean {
    return this.target.bytes > this.#base;
  }

  /** Resolves when the file is whole. */
  async try(): Promise<void> {
    const { target } = this;
    this.#base = target.bytes;
    const continuation = continuationOf(target);
    const { body, origin, offset } = await open(this.url, this.options, continuation);
    try {
      if (offset === 0) await this.#begin(origin);
      else if (isWhole(target)) return;
      await target.append(body);
    } finally {
      body.destroy();
    }
  }

  async #begin(origin: Origin): Promise<void> {
    // A server that can neither send the whole file nor go on with it would keep us busy for ever.
    if (this.#begins === this.tries) {
      throw badGateway(`The download from ${this.url.host} broke off and had to begin anew ${this.tries} times`);
    }
    this.#begins++;
    await this.target.begin(origin);
    this.#base = 0;
  }
}

/**
 * Downloads a file over http, https or ftp, and goes on where an earlier download broke off if the far end still has the
 * same file. Failures that may pass are tried again, after 1 second and up to 30; resolves when all bytes have come.
 * @param url as `checkDownloadUrl` returned it
 * @throws ServiceError BAD_GATEWAY (the far end fails for good, or too often), GATEWAY_TIMEOUT (it is silent too often),
 * FORBIDDEN (a host or redirect that is not allowed), what `target` throws, and an error named AbortError after an abort
 */
export async function download(url: URL, target: Target, options: DownloadOptions): Promise<void> {
  const { tries = 8, delay = realDelay, signal } = options;
  const transfer = new Transfer(url, target, options, tries);
  for (let failures = 0; ;) {
    try {
      await transfer.try();
      return;
    } catch (error) {
      if (!(error instanceof TemporaryFailure)) throw error;
      failures = transfer.hasProgress ? 1 : failures + 1;
      if (failures >= tries) {
        const message = `${error.message}; given up after ${tries} tries without a new byte`;
        throw new ServiceError(error.code, message, { cause: error });
      }
      await delay(pauseAfter(failures, error), signal);
    }
  }
}

/** A target in memory, for files of a known kind that are never large. */
class Memory implements Target {
  #chunks: Buffer[] = [];
  bytes = 0;
  origin: Origin | undefined;

  constructor(
    private readonly host: string,
    private readonly most: number,
  ) {}

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }

  begin(origin: Origin): Promise<void> {
    this.#chunks = [];
    this.bytes = 0;
    this.origin = origin;
    return Promise.resolve();
  }

  async append(stream: Readable): Promise<void> {
    const chunks: AsyncIterable<Buffer> = stream;
    for await (const chunk of chunks) {
      this.#chunks.push(chunk);
      this.bytes += chunk.length;
      if (this.bytes > this.most) throw badGateway(`${this.host} sent a file of more than ${this.most} bytes`);
    }
  }
}

/**
 * Downloads a short text in UTF-8 into memory.
 * @param most bytes
 * @throws ServiceError as `download`, and BAD_GATEWAY for more bytes than `most`
 */
export async function downloadText(url: URL, most: number, options: DownloadOptions): Promise<string> {
  const memory = new Memory(url.host, most);
  await download(url, memory, options);
  return memory.text;
}
