import { constants } from 'node:fs';
import { open, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, systemCode, systemFailure } from '../errors.js';
import { privateFolder } from '../folder.js';
import { temporaryOf } from './durable.js';

export interface ProbeOptions {
  /** Milliseconds that one look is good for: whoever asks more often gets the outcome of the last one. */
  readonly goodFor?: number;
  /** Milliseconds after which a disk that has not answered counts as hanging. */
  readonly patience?: number;
}

// Without a link in its place being followed.
const creating = constants.O_WRONLY | constants.O_CREAT | constants.O_TRUNC | constants.O_NOFOLLOW;

/** Under this name it is cleared away at the next start, when the service is killed in between. */
const probeName = temporaryOf('probe');

/**
 * Makes a file out of sight in a store's folder and removes it. Throws the system's errors.
 * @returns free bytes of its file system
 */
export async function tryStore(folder: string): Promise<number> {
  const path = join(folder, privateFolder, probeName);
  const file = await open(path, creating, 0o600);
  try {
    // Without fsync, which takes seconds on a disk that an upload keeps busy: it is ready all the same.
    await file.writeFile('written to see whether it can be\n');
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** One look at a store: what is wrong, in words. */
interface Look {
  /** On a clock that never goes back. */
  readonly began: number;
  readonly outcome: Promise<string | undefined>;
  isOver: boolean;
}

function explain(error: unknown): string {
  if (systemCode(error) === 'ENOENT') return 'cannot be written: its folder is missing';
  return `cannot be written: ${systemFailure(error)?.message ?? systemCode(error) ?? messageOf(error)}`;
}

/** Finds out whether a store can be written and has room, at most so often, and without waiting for a disk that hangs. */
export class StoreProbe {
  readonly #goodFor: number;
  readonly #patience: number;
  #look: Look | undefined;

  /**
   * @param attempt writes to the store, and gives its free bytes
   * @param minFreeBytes that it has to have
   */
  constructor(
    private readonly attempt: () => Promise<number>,
    private readonly minFreeBytes: () => number,
    { goodFor = 1000, patience = 1500 }: ProbeOptions = {},
  ) {
    this.#goodFor = goodFor;
    this.#patience = patience;
  }

  /** What is wrong with the store, in words to go on with behind its name; undefined: nothing. Never rejects. */
  async problem(): Promise<string | undefined> {
    const { began, outcome } = this.#current();
    let timer: NodeJS.Timeout | undefined;
    const left = Math.max(0, began + this.#patience - performance.now());
    const hangs = new Promise<string>((resolve) => (timer = setTimeout(resolve, left, 'does not answer')));
    try {
      return await Promise.race([outcome, hangs]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** A disk that hangs is not asked again before it has answered: each question holds a thread. */
  #current(): Look {
    const now = performance.now();
    if (this.#look !== undefined && (!this.#look.isOver || now - this.#look.began < this.#goodFor)) return this.#look;
    const look: Look = { began: now, outcome: this.#find().finally(() => (look.isOver = true)), isOver: false };
    this.#look = look;
    return look;
  }

  async #find(): Promise<string | undefined> {
    try {
      const free = await this.attempt();
      const least = this.minFreeBytes();
      return free >= least ? undefined : `has ${free} bytes free, and minFreeBytes is ${least}`;
    } catch (error) {
      return explain(error);
    }
  }
}
