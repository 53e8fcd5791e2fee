import type { Watch } from '../http/watch.js';
import { ConnectionWatcher, type Ledger } from './connection-watcher.js';
import { Lag } from './lag.js';
import { longest, type Report } from './report.js';
import { type SessionOptions, Sessions } from './sessions.js';
import { Tally } from './tally.js';

export interface ReporterOptions extends Omit<SessionOptions, 'ended'> {
  /** Whether the access log is wanted now. */
  hasLines(): boolean;
  /** Is given each line of it at once; without this they are in the reports. */
  readonly line?: (line: string) => void;
  /** Milliseconds between two reports. */
  readonly interval?: number;
  send(report: Report): void;
}

const usualInterval = 1000;
/** Lines that wait for the next report at the most: with so many it comes at once. */
const mostLines = 1000;

/** Watches over the connections of a process, and reports on them and on the process, once a second. */
export class Reporter implements Ledger {
  readonly tally = new Tally();
  readonly sessions: Sessions;
  readonly #add: (line: string) => void;
  readonly #watchers = new Set<ConnectionWatcher>();
  readonly #lag = new Lag();
  #timer: NodeJS.Timeout | undefined;
  #lines: string[] = [];
  #processor = process.cpuUsage();

  constructor(private readonly options: ReporterOptions) {
    const add = (line: string) => {
      // Not here, in the middle of what is reported on.
      if (this.#lines.push(line) === mostLines) setImmediate(() => this.report());
    };
    this.#add = options.line ?? add;
    this.sessions = new Sessions({ ...options, ended: (session) => this.line?.(session.line) });
  }

  get line(): ((line: string) => void) | undefined {
    return this.options.hasLines() ? this.#add : undefined;
  }

  readonly watch: Watch = (socket) => {
    const watcher = new ConnectionWatcher(socket, this);
    this.#watchers.add(watcher);
    return watcher;
  };

  /** How many are open. */
  get connections(): number {
    return this.#watchers.size;
  }

  start(): void {
    this.#lag.start();
    this.#timer = setInterval(() => this.report(), this.options.interval ?? usualInterval).unref();
  }

  leave(watcher: ConnectionWatcher): void {
    this.#watchers.delete(watcher);
  }

  /** Reports now. */
  report(): void {
    const now = performance.now();
    const going = this.sessions.look(now, () => {
      for (const watcher of this.#watchers) watcher.look();
    });
    const { user, system } = process.cpuUsage(this.#processor);
    this.#processor = process.cpuUsage();
    const lines = this.#lines;
    this.#lines = [];
    this.options.send({
      ...this.tally.take(),
      lines,
      processor: (user + system) / 1e6,
      lag: this.#lag.take(),
      memory: process.memoryUsage.rss(),
      connections: this.connections,
      sending: going.length,
      transfers: longest(going.map(({ transfer }) => transfer)),
    });
  }

  /** Ends with a last report, of everything. */
  stop(): void {
    clearInterval(this.#timer);
    this.sessions.endAll();
    this.report();
    this.#lag.stop();
  }
}
