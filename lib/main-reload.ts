import { messageOf } from './errors.js';
import type { Log } from './log.js';

/** Puts in force what the configuration says now. @throws ServiceError with a line for each thing that is wrong */
export type Reload = () => Promise<unknown>;

/** Has the configuration read again whenever it is asked to. */
export class Reloading {
  #reload: Reload | undefined;
  #isWanted = false;
  #isAtWork = false;

  constructor(private readonly log: Log) {}

  /** Asks for it. While the service still starts, or goes by what was asked for before, it follows. */
  request(): void {
    this.#isWanted = true;
    void this.#work();
  }

  /** From now on there is a service. */
  started(reload: Reload): void {
    this.#reload = reload;
    void this.#work();
  }

  /** The service stops: nothing is read any more. */
  end(): void {
    this.#reload = undefined;
  }

  async #work(): Promise<void> {
    if (this.#isAtWork) return;
    this.#isAtWork = true;
    while (this.#isWanted && this.#reload !== undefined) {
      this.#isWanted = false;
      await this.#reload().catch((error: unknown) => this.#say(error));
    }
    this.#isAtWork = false;
  }

  #say(error: unknown): void {
    for (const line of messageOf(error).split('\n')) this.log.error(line);
    this.log.error('nothing of the configuration has changed');
  }
}
