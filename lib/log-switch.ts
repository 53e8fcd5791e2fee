import type { Log } from './log.js';

/** A log, and what it holds open. */
export interface OpenLog {
  readonly log: Log;
  /** Resolves when its lines are out, and nothing is open any more. */
  close(): Promise<void>;
}

/** A log that hands on to another one, which can change while the program runs. */
export class LogSwitch implements Log, OpenLog {
  constructor(private current: OpenLog) {}

  get log(): Log {
    return this;
  }

  /** Hands on to this one from now on, and closes the former. */
  async use(next: OpenLog): Promise<void> {
    const former = this.current;
    this.current = next;
    await former.close();
  }

  close(): Promise<void> {
    return this.current.close();
  }

  readonly debug = (message: string): void => this.current.log.debug(message);
  readonly info = (message: string): void => this.current.log.info(message);
  readonly warning = (message: string): void => this.current.log.warning(message);
  readonly error = (message: string): void => this.current.log.error(message);
  readonly critical = (message: string): void => this.current.log.critical(message);
}
