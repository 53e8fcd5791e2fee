import type { Readable } from 'node:stream';
import { ServiceError, systemFailure } from '../errors.js';
import { checkDigests } from './digests.js';
import type { Origin, Target } from './download.js';
import type { Algorithm, Digests } from './hashing.js';
import type { Part, PartRecord } from './part.js';
import { pump } from './pump.js';
import { Rate } from './rate.js';

/** Where the bytes of a file come from; `complete` resolves when none is missing. */
export interface Source {
  readonly stream: Readable;
  complete(): Promise<void>;
}

/** The store's part in receiving a file. */
export interface IncomingOptions {
  readonly name: string;
  readonly part: Part;
  /** Bytes of the whole file, if they were announced. */
  readonly length: number | undefined;
  /** Byte at which an upload goes on; 0 begins anew. */
  readonly offset: number;
  /** Who may continue it when it breaks off; undefined: nobody. */
  readonly source: string | undefined;
  /** The address of whoever sends it; undefined where the service fetches it. */
  readonly client?: string | undefined;
  /** Of the machine, now. */
  readonly boot: string;
  /** Is told of bytes that have arrived. */
  readonly received?: (bytes: number) => void;
  /** Looks at the complete file under its temporary name, and throws to refuse it. */
  check(path: string): Promise<void>;
  /** Sees to it that there is room for this many bytes. @throws ServiceError NO_SPACE */
  reserve(incoming: IncomingFile, bytes: number): Promise<void>;
  /** Gives the finished file its name. */
  move(incoming: IncomingFile): Promise<void>;
  /** Ends the claim on the name; called once, whatever happens. @param isKept whether the part can be continued */
  release(isKept: boolean): void;
}

/** A file on its way into a store: written out of sight, and given its name only when it is whole and on the disk. */
export class IncomingFile implements Target {
  /** Bytes that the disk needs room for, as far as anybody knows. */
  promised: number;
  /** When it was claimed, in milliseconds of the epoch. */
  readonly since = Date.now();
  readonly #rate = new Rate();
  readonly #interruption = new AbortController();
  #isUpload = false;
  #origin: Origin | undefined;
  #digests: Digests = {};
  #demanded: Digests = {};
  /** Whether more can come: not after its last byte, nor after the disk has failed. */
  #canContinue = true;
  #release: Promise<void> | undefined;
  /** Resolves when its name is free again. */
  readonly ended: Promise<void>;
  #tellEnded: () => void = () => undefined;

  constructor(private readonly options: IncomingOptions) {
    this.promised = options.length ?? 0;
    this.ended = new Promise((resolve) => (this.#tellEnded = resolve));
  }

  get name(): string {
    return this.options.name;
  }

  /** The address of whoever sends it; undefined where the service fetches it. */
  get client(): string | undefined {
    return this.options.client;
  }

  /** Who may continue it. */
  get source(): string | undefined {
    return this.options.source;
  }

  /** The file under its temporary name. */
  get path(): string {
    return this.options.part.path;
  }

  /** Bytes that have arrived. */
  get bytes(): number {
    return this.options.part.bytes;
  }

  /** Bytes of the whole file, when they are known. */
  get length(): number | undefined {
    return this.options.length ?? this.origin?.length;
  }

  /** What the far end of a download said of the bytes that are there. */
  get origin(): Origin | undefined {
    const { part, source } = this.options;
    // Of another URL's bytes, or those of an upload, nothing is known: two files can have the same time or tag.
    return this.#origin ?? (part.record?.source === source ? part.record?.origin : undefined);
  }

  /** Hexadecimal, once all is received. */
  get sha256(): string {
    return this.#digests.sha256 ?? '';
  }

  /** Bytes a second that arrive at the moment. */
  get rate(): number {
    return this.#rate.perSecond();
  }

  /** Milliseconds since the last byte of an upload; downloads see to that themselves. */
  get silence(): number {
    return this.#isUpload ? Date.now() - this.options.part.touched : 0;
  }

  /** Whether nothing more can come, and its name will soon be free. */
  get isEnding(): boolean {
    return this.#release !== undefined;
  }

  /** Digests that the file must have; told before its first byte. */
  demand(digests: Digests): void {
    this.#demanded = digests;
  }

  /**
   * Begins anew, as a download whose far end has another file than before.
   * @throws ServiceError NO_SPACE
   */
  async begin(origin: Origin): Promise<void> {
    await this.options.reserve(this, origin.length ?? 0);
    this.#origin = origin;
    const { length, validator } = origin;
    await this.#onDisk(() =>
      this.options.part.startOver(validator === undefined ? undefined : this.#record({ origin, length })),
    );
  }

  /** Adds what a stream gives, to its end; the memory of its chunks is given away. @param progress told the bytes so far, after each write */
  async append(stream: Readable, progress: (bytes: number) => void = () => undefined): Promise<void> {
    const { part } = this.options;
    await this.#onDisk(() => part.open(this.#algorithms));
    part.touched = Date.now();
    const write = async (chunks: readonly Buffer[]) => {
      const before = part.bytes;
      await this.#onDisk(() => part.write(chunks));
      this.#rate.add(part.bytes - before);
      this.options.received?.(part.bytes - before);
      progress(part.bytes);
    };
    await pump(stream, write, this.#interruption.signal);
  }

  /**
   * Puts the file in its place when all has arrived.
   * @throws ServiceError BAD_REQUEST (incomplete or empty), DIGEST_MISMATCH, NO_SPACE, and what the check throws
   */
  async finish(): Promise<void> {
    const { part, length } = this.options;
    this.#canContinue = false;
    if (part.bytes === 0) throw new ServiceError('BAD_REQUEST', 'The file is empty');
    if (length !== undefined && part.bytes !== length) {
      throw new ServiceError('BAD_REQUEST', `The file ended after ${part.bytes} of ${length} bytes`);
    }
    this.#digests = await part.finish();
    checkDigests(this.#demanded, this.#digests);
    await this.options.check(part.path);
    await this.options.move(this);
  }

  /**
   * Receives an upload, checks it and puts it in its place; or throws and leaves everything as it was, but for the
   * bytes of an upload that broke off and can be continued.
   * @param openSource gives the bytes
   * @param progress told the bytes so far, after each write
   * @throws ServiceError the errors of `finish`, and what the source throws
   */
  async take(openSource: () => Source | Promise<Source>, progress: (bytes: number) => void): Promise<void> {
    const { offset, part, length } = this.options;
    this.#isUpload = true;
    part.touched = Date.now();
    try {
      if (offset === 0) await this.#onDisk(() => part.startOver(this.#record({ length })));
      const source = await openSource();
      await this.append(source.stream, progress);
      await source.complete();
      await this.finish();
    } catch (error) {
      throw systemFailure(error) ?? error;
    } finally {
      await this.end();
    }
  }

  /** Ends an upload whose client is silent, or for whom there is no more time. Its bytes are kept. */
  async interrupt(): Promise<void> {
    this.#interruption.abort(new ServiceError('TIMEOUT', 'The upload was silent, or the service is stopping'));
    await this.ended;
  }

  /** Gives the name free again. What can be continued is kept, and anything else removed. Safe to call twice. */
  end(): Promise<void> {
    const { part } = this.options;
    const isKept = this.#canContinue && part.record !== undefined && part.bytes > 0;
    this.#release ??= this.#letGo(isKept);
    return this.#release;
  }

  /** Gives the name free again and keeps nothing. Safe to call twice. */
  discard(): Promise<void> {
    this.#release ??= this.#letGo(false);
    return this.#release;
  }

  get #algorithms(): Algorithm[] {
    const demanded = Object.keys(this.#demanded) as Algorithm[];
    return [...new Set<Algorithm>(['sha256', ...demanded])];
  }

  #record(known: Pick<PartRecord, 'length' | 'origin'>): PartRecord | undefined {
    const { name, source, boot } = this.options;
    return source === undefined ? undefined : { name, source, boot, synced: 0, ...known };
  }

  async #onDisk<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      this.#canContinue = false;
      throw error;
    }
  }

  async #letGo(isKept: boolean): Promise<void> {
    const { part } = this.options;
    let canContinue = isKept;
    try {
      await (canContinue ? part.pause() : part.remove());
    } catch (error) {
      canContinue = false;
      await part.remove();
      if (!isKept) throw error;
    } finally {
      // By now the name may be somebody else's.
      this.options.release(canContinue);
      this.#tellEnded();
    }
  }
}
