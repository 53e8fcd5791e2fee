import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

export interface LogFileOptions {
  /** Is told, in words, when lines begin to be missing from the file, and when they no longer are. */
  readonly report: (words: string) => void;
  /** The line that stands in the file where others are missing. */
  readonly gap: (lines: number) => string;
}

// A pipe that nobody reads must not keep the service from starting, nor from going on.
const appending = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;

/** Operators and their log shippers read it, others do not. */
const mode = 0o640;

/** Characters that wait for a disk that does not answer. */
const mostWaiting = 1024 * 1024;

/** Milliseconds that the end of the service waits for it. */
const flushTimeout = 1000;

const lineFeed = 10;

function countLines(bytes: Uint8Array): number {
  return bytes.reduce((count, byte) => (byte === lineFeed ? count + 1 : count), 0);
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** A file that log lines are appended to. Whatever happens to its disk, nobody waits for it and nothing is thrown. */
export class LogFile {
  #waiting = '';
  /** Lines that are missing before those that wait, and behind them. */
  #missing = 0;
  #missingBehind = 0;
  #isBroken = false;
  /** Whether a part of a line is the last that was written. */
  #isInLine = false;
  #isClosed = false;
  /** Settles when all that was asked for so far is done. */
  #last: Promise<void> = Promise.resolve();

  private constructor(
    private readonly file: FileHandle,
    private readonly options: LogFileOptions,
  ) {}

  /** Throws the system's errors when the file can neither be opened nor made. */
  static async open(path: string, options: LogFileOptions): Promise<LogFile> {
    return new LogFile(await open(path, appending, mode), options);
  }

  /** Appends lines, each with its line feed, some time soon. */
  write(lines: string): void {
    if (this.#isClosed) return;
    if (this.#waiting.length + lines.length > mostWaiting) {
      this.#missingBehind += countLines(Buffer.from(lines));
      this.#break('its disk does not answer');
      return;
    }
    const isFirst = this.#waiting === '';
    this.#waiting += lines;
    if (isFirst) void this.#do(() => this.#empty());
  }

  /** Resolves when all lines so far are in the file, or cannot get there, or the disk takes longer than a second. */
  async flush(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => (timer = setTimeout(resolve, flushTimeout)));
    await Promise.race([this.#last, enough]);
    clearTimeout(timer);
  }

  /** Lets go of the file once the last lines are in it, as `flush` says. Lines that come later are not written. */
  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
    // Not waited for: on a disk that does not answer it never ends.
    this.file.close().catch(() => undefined);
  }

  /** One thing after the other. */
  #do(work: () => Promise<void>): Promise<void> {
    this.#last = this.#last.then(work).catch((error: unknown) => this.#break(words(error)));
    return this.#last;
  }

  async #empty(): Promise<void> {
    const lines = Buffer.from(this.#waiting);
    const [before, behind] = [this.#missing, this.#missingBehind];
    this.#waiting = '';
    this.#missingBehind = 0;
    // What does not get there is missing before whatever comes next.
    this.#missing += countLines(lines) + behind;
    if (this.#isInLine) await this.#append(Buffer.from('\n'));
    await this.#tell(before);
    await this.#append(lines, (written) => (this.#missing -= countLines(written)));
    await this.#tell(behind);
    if (this.#isBroken) this.options.report(`it is written again; ${before + behind} lines are missing`);
    this.#isBroken = false;
  }

  /** Tells the file of lines that are missing. */
  async #tell(missing: number): Promise<void> {
    if (missing > 0) await this.#append(Buffer.from(this.options.gap(missing)));
    this.#missing -= missing;
  }

  /** @param done told what has been written */
  async #append(bytes: Buffer, done: (written: Buffer) => void = () => undefined): Promise<void> {
    for (let left = bytes; left.length > 0;) {
      const { bytesWritten } = await this.file.write(left);
      if (bytesWritten > 0) this.#isInLine = left[bytesWritten - 1] !== lineFeed;
      done(left.subarray(0, bytesWritten));
      left = left.subarray(bytesWritten);
    }
  }

  #break(reason: string): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.options.report(`lines are missing from it: ${reason}`);
  }
}
