import { lstat, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ifThere, messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { temporaryOf } from './durable.js';
import type { Hashing } from './hashing.js';
import { bootOf, Part, type PartRecord } from './part.js';
import { isMembers } from './record.js';

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && Number(value) >= 0;
}

function isOrigin(value: unknown): boolean {
  if (value === undefined) return true;
  if (!isMembers(value)) return false;
  const { validator, length } = value;
  return (validator === undefined || typeof validator === 'string') && (length === undefined || isCount(length));
}

function isRecord(value: unknown): value is PartRecord {
  if (!isMembers(value)) return false;
  const { name, source, length, origin, boot, synced } = value;
  const isText = [name, source, boot].every((member) => typeof member === 'string');
  return isText && (length === undefined || isCount(length)) && isCount(synced) && isOrigin(origin);
}

function recordIn(text: string): PartRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** What the names of a part's bytes and record have in common; undefined for any other file. */
function stemIn(name: string): string | undefined {
  return /^([0-9a-f]{32})\.(?:part|json)$/.exec(name)?.[1];
}

/** Of a part without a record nobody knows what it is of; a temporary file is one that was about to be renamed. */
function isUseless(name: string): boolean {
  return name.endsWith(temporaryOf('')) || (name.endsWith('.part') && stemIn(name) === undefined);
}

/**
 * The bytes that can be continued.
 * @param size bytes that the file has
 */
function usableBytes({ length = Infinity, synced, boot }: PartRecord, size: number, now: string): number {
  // After a power cut a file can be longer than what was written to it.
  // Of a machine that does not tell its boots apart each one may be another.
  const safe = boot === now && now !== '' ? size : Math.min(size, synced);
  // Of one that was killed between its last byte and its name a byte is asked for again: nobody can send none.
  return Math.min(safe, length - 1);
}

/** The files of a store that have not arrived whole and that nobody sends at the moment, by name. */
export class Parts {
  readonly #kept = new Map<string, Part>();

  private constructor(
    private readonly folder: string,
    private readonly hashing: Hashing,
    /** Of the machine, now. */
    readonly boot: string,
    private readonly log: Log,
  ) {}

  /** Finds what an earlier run has left, and clears away what cannot be continued. */
  static async open(folder: string, hashing: Hashing, log: Log): Promise<Parts> {
    const parts = new Parts(folder, hashing, await bootOf(), log);
    const names = await readdir(folder);
    const stems = new Set(names.map(stemIn));
    for (const stem of stems) if (stem !== undefined) await parts.#recall(join(folder, stem));
    const useless = names.filter((name) => isUseless(name));
    await parts.#clear(useless.map((name) => join(folder, name)));
    return parts;
  }

  /** What there is of a file. */
  get(name: string): Part | undefined {
    return this.#kept.get(name);
  }

  all(): readonly Part[] {
    return [...this.#kept.values()];
  }

  /** Takes what there is of a file, if anything, for somebody who sends more of it. */
  take(name: string): Part {
    const part = this.#kept.get(name) ?? new Part(Part.stemOf(this.folder, name), this.hashing);
    this.#kept.delete(name);
    return part;
  }

  /** Keeps a part until somebody takes it, or for too long. */
  keep(name: string, part: Part): void {
    this.#kept.set(name, part);
  }

  /** @returns whether there was anything */
  async remove(name: string): Promise<boolean> {
    const part = this.#kept.get(name);
    this.#kept.delete(name);
    await part?.remove();
    return part !== undefined;
  }

  /** Removes what has waited longer than this. @param milliseconds since its last byte */
  async expire(milliseconds: number): Promise<void> {
    for (const [name, part] of this.#kept) {
      if (Date.now() - part.touched <= milliseconds) continue;
      this.log.info(`${name}: ${part.bytes} bytes of an interrupted transfer are given up`);
      await this.remove(name).catch((error: unknown) => this.log.warning(messageOf(error)));
    }
  }

  async #recall(stem: string): Promise<void> {
    // One that cannot be read costs a transfer begun anew, and must not keep the service from starting.
    const text = await readFile(`${stem}.json`, 'utf8').catch(() => '');
    const stats = await ifThere(lstat(`${stem}.part`));
    const record = recordIn(text);
    if (record !== undefined && stats?.isFile() && Part.stemOf(this.folder, record.name) === stem) {
      const bytes = usableBytes(record, stats.size, this.boot);
      const part = new Part(stem, this.hashing, { ...record, boot: this.boot }, bytes, stats.mtimeMs);
      if (bytes > 0) {
        this.keep(record.name, part);
        return;
      }
    }
    await this.#clear([`${stem}.part`, `${stem}.json`]);
  }

  async #clear(paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      await rm(path, { force: true }).catch((error: unknown) => {
        this.log.warning(`A leftover cannot be removed: ${messageOf(error)}`);
      });
    }
  }
}
