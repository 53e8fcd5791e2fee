import { messageOf } from '../errors.js';
import type { Log } from '../log.js';
import { OneAtATime } from './one-at-a-time.js';

/** Computes the digests of files in the background, one at a time. */
export class DigestQueue {
  readonly #names = new Set<string>();
  readonly #turns = new OneAtATime();
  readonly #stopping = new AbortController();

  /** @param hash computes and keeps the digest of a file; ends early when the signal says so */
  constructor(
    private readonly hash: (name: string, signal: AbortSignal) => Promise<void>,
    private readonly log: Log,
  ) {}

  /** Puts a file at the end, unless it waits or is being read already. What goes wrong is logged. */
  add(name: string): void {
    if (this.#names.has(name)) return;
    this.#names.add(name);
    void this.#turns.run(() => this.#run(name));
  }

  /** Ends what is being computed and does nothing more. */
  stop(): void {
    this.#stopping.abort();
  }

  async #run(name: string): Promise<void> {
    const { signal } = this.#stopping;
    try {
      if (!signal.aborted) await this.hash(name, signal);
    } catch (error) {
      if (!signal.aborted) this.log.warning(`The digest of ${name} could not be computed: ${messageOf(error)}`);
    } finally {
      this.#names.delete(name);
    }
  }
}
