import { lstat, mkdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError, ifThere } from '../errors.js';
import { privateFolder } from '../folder.js';
import { IncomingFile } from './incoming-file.js';
import type { Part } from './part.js';
import type { Parts } from './parts.js';

/** What is known of a file before it arrives. */
export interface ExpectedFile {
  /** Bytes of the whole file, exactly. */
  readonly length?: number | undefined;
  /** Bytes that it takes at most; its length, unless that is not known. */
  readonly room?: number;
  /** The byte at which it goes on; 0 begins anew. */
  readonly offset?: number;
  /** Who may continue it when it breaks off; undefined: nobody. */
  readonly source?: string | undefined;
  /** The address of whoever sends it; undefined where the service fetches it. */
  readonly client?: string | undefined;
  /** Looks at the complete file before it gets its name, and throws to refuse it. */
  readonly check?: (path: string) => Promise<void>;
}

/** How much of a file has arrived. */
export interface Arrived {
  readonly bytes: number;
  /** Of the whole file, when it is known. */
  readonly length: number | undefined;
  /** Whether it is in its place. */
  readonly isComplete: boolean;
}

/** Who may continue an upload: whoever sends the rest. */
export const uploadSource = 'upload';

/** A store takes any file, unless it is told otherwise. */
const accept: (path: string) => Promise<void> = () => Promise.resolve();

/** The store's part in receiving files, and how long what has broken off is kept. */
export interface ReceivingOptions {
  /** Milliseconds that an interrupted transfer is kept to be continued, as they are now. */
  keptFor(): number;
  /** Milliseconds without a byte after which an upload may be replaced by another one of its name. */
  readonly silentAfter?: number;
  /** Is told of each file that begins to arrive. */
  readonly began?: (name: string, incoming: IncomingFile) => void;
  /** Is told of bytes that have arrived. */
  readonly received?: (name: string, bytes: number) => void;
  /** Gives a finished file its name. */
  move(name: string, finished: IncomingFile): Promise<void>;
}

/** Some bytes do not begin where those that are there end. */
export class OffsetError extends ServiceError {
  /** @param offset where they end */
  constructor(
    name: string,
    wanted: number,
    readonly offset: number,
  ) {
    super('OFFSET', `${name} cannot go on at byte ${wanted}: ${offset} bytes of it are there`);
  }
}

/** The files of a store that are arriving, and those that have broken off: one of each name at a time. */
export class Receiving {
  readonly #arriving = new Map<string, IncomingFile>();

  /** @param folder the store's */
  constructor(
    private readonly folder: string,
    private readonly parts: Parts,
    private readonly options: ReceivingOptions,
  ) {}

  /** Bytes that have arrived of files that are not whole. */
  get bytes(): number {
    const all = [...this.#arriving.values(), ...this.parts.all()];
    return all.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The files that are arriving now. */
  all(): readonly IncomingFile[] {
    return [...this.#arriving.values()];
  }

  /** How much has arrived of an upload that is not whole; undefined: nothing. Nobody can go on with a download. */
  arrived(name: string): Arrived | undefined {
    const arriving = this.#arriving.get(name);
    if (arriving?.source === uploadSource) return { bytes: arriving.bytes, length: arriving.length, isComplete: false };
    const { bytes, record } = this.parts.get(name) ?? {};
    if (bytes === undefined || record?.source !== uploadSource) return undefined;
    return { bytes, length: record.length, isComplete: false };
  }

  /** Waits for the end of an upload that has broken off, and ends one whose client has gone without a word. */
  async endBroken(name: string): Promise<void> {
    const { silentAfter = 30_000 } = this.options;
    const other = this.#arriving.get(name);
    if (other?.isEnding === true) await other.ended;
    if (other !== undefined && other.silence > silentAfter) await other.interrupt();
  }

  /** @throws ServiceError BUSY */
  refuseBusy(name: string): void {
    if (this.#arriving.has(name)) throw new ServiceError('BUSY', `${name} is being uploaded`);
  }

  /**
   * Claims a name for a file that is about to arrive. Nobody else can until that has ended.
   * @throws ServiceError BUSY (it is arriving already), EXISTS (a folder has the name), NO_SPACE; OffsetError (it
   * does not go on where it broke off)
   */
  async receive(name: string, expected: ExpectedFile): Promise<IncomingFile> {
    await this.endBroken(name);
    this.refuseBusy(name);
    if (expected.offset) this.#checkOffset(name, expected.offset, expected);
    const incoming = this.#claim(name, expected);
    try {
      await this.#prepare(name);
      await this.#reserve(incoming, expected.room ?? expected.length ?? 0);
    } catch (error) {
      await incoming.end();
      throw error;
    }
    return incoming;
  }

  /** Gives up what has broken off. @returns what there was */
  async drop(name: string): Promise<Part | undefined> {
    const part = this.parts.get(name);
    await this.parts.remove(name);
    return part;
  }

  /** Gives up what has broken off, if it came from this source. */
  async abandon(name: string, source: string): Promise<void> {
    if (this.parts.get(name)?.record?.source === source) await this.parts.remove(name);
  }

  /** Gives up what has waited too long. */
  expire(): Promise<void> {
    return this.parts.expire(this.options.keptFor());
  }

  /** Ends all that is arriving; what can be continued is kept. */
  async stop(): Promise<void> {
    await Promise.all([...this.#arriving.values()].map((incoming) => incoming.interrupt()));
  }

  #claim(name: string, { length, offset = 0, source, client, check = accept }: ExpectedFile): IncomingFile {
    const part = this.parts.take(name);
    const incoming = new IncomingFile({
      ...{ name, part, length, offset, source, client, check, boot: this.parts.boot },
      received: (bytes) => this.options.received?.(name, bytes),
      reserve: (arriving, bytes) => this.#reserve(arriving, bytes),
      move: (finished) => this.options.move(name, finished),
      release: (isKept) => {
        this.#arriving.delete(name);
        if (isKept) this.parts.keep(name, part);
      },
    });
    this.#arriving.set(name, incoming);
    this.options.began?.(name, incoming);
    return incoming;
  }

  /** Makes ready for a file of this name. */
  async #prepare(name: string): Promise<void> {
    await mkdir(join(this.folder, privateFolder), { recursive: true });
    const present = await ifThere(lstat(join(this.folder, name)));
    if (present?.isDirectory()) throw new ServiceError('EXISTS', `${name} is a folder; choose another name`);
  }

  #checkOffset(name: string, wanted: number, { length, source }: ExpectedFile): void {
    const part = this.parts.get(name);
    const isSame = part?.record?.source === source && part?.record?.length === length;
    const offset = isSame ? (part?.bytes ?? 0) : 0;
    if (offset !== wanted) throw new OffsetError(name, wanted, offset);
  }

  /** Sees to it that there is room for a file that is arriving, beside what the others were promised. */
  async #reserve(arriving: IncomingFile, bytes: number): Promise<void> {
    arriving.promised = bytes;
    const { bavail, bsize } = await statfs(this.folder);
    let promised = 0;
    for (const other of this.#arriving.values()) promised += Math.max(0, other.promised - other.bytes);
    if (promised <= bavail * bsize) return;
    throw new ServiceError('NO_SPACE', `There is no room for ${bytes} bytes; ${bavail * bsize} bytes are free`);
  }
}
