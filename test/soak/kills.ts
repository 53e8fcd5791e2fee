import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../fixtures/random.js';
import { stateOf } from './watch.js';

/** Milliseconds before and after a kill in which a connection of the killed process may end. */
const shadow = 2000;

/** Worker processes that are killed now and then. */
export class Kills {
  count = 0;
  #last = -Infinity;

  constructor(
    private readonly main: number,
    private readonly random: Random,
  ) {}

  /** Whether a connection that was made or used at this time may have been one of a killed process. */
  excuses(began: number): boolean {
    return this.#last > began - shadow;
  }

  /** Kills one process each 8 to 15 s, and none when there is none. */
  async run(until: number): Promise<void> {
    for (;;) {
      const pause = 8000 + this.random.below(7000);
      // The last quarter of it is left: what was killed must have time to come back.
      if (Date.now() + pause > until - 3000) return;
      await delay(pause);
      const { workers } = await stateOf(this.main);
      const victim = workers[this.random.below(workers.length)]?.pid;
      if (victim === undefined) continue;
      this.#last = performance.now();
      process.kill(victim, 'SIGKILL');
      this.count++;
    }
  }
}
