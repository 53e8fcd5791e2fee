import type { ErrorCode } from './errors.js';
import type { Application } from './http/exchange.js';
import { type Place, places } from './images/facts.js';
import type { Images } from './images/images.js';
import type { IncomingFile } from './images/incoming-file.js';
import { statuses } from './images/record.js';
import type { Store } from './images/store.js';
import { levels, type Log } from './log.js';
import type { State } from './observe/gauges.js';
import { type Exposition, Metrics } from './observe/metrics.js';
import type { Activity, Observed } from './observe/observed.js';
import { longest, type Report, type Transfer } from './observe/report.js';
import { Reporter } from './observe/reporter.js';
import { withUploadFailures } from './observe/upload-failures.js';
import type { WorkerPool } from './workers/pool.js';

/** What there is to observe, once the service is put together. */
export interface ObservedParts {
  readonly images: Images;
  readonly stores: Readonly<Record<Place, Store>>;
  readonly pool: WorkerPool | undefined;
}

/** The stores as the management API calls them. */
const storeNames: Readonly<Record<Place, string>> = { iso: 'iso', common: 'microkernel' };

/** Where a download comes from; an upload that nobody can continue has no source. */
function hostOf(source = ''): string {
  return URL.canParse(source) ? new URL(source).host : '';
}

/** What comes together of all processes: the metrics, the access log, and what goes on. */
export class Observation implements Observed {
  readonly #metrics = new Metrics(() => this.#titles());
  readonly #reporter: Reporter;
  /** The last reports: of this process, and of the workers by their numbers. */
  #own: Report | undefined;
  readonly #workers = new Map<number, Report>();
  /** Bytes that have arrived since the last report, by store and file. */
  readonly #arrived: Record<Place, Map<string, number>> = { iso: new Map(), common: new Map() };
  #lags = { main: 0, workers: 0 };
  #parts: ObservedParts | undefined;
  readonly #began = performance.now();

  constructor(
    private readonly version: string,
    minLogLevel: () => number,
    private readonly log: Log,
  ) {
    const hasLines = () => minLogLevel() <= levels.indexOf('info');
    this.#reporter = new Reporter({ hasLines, line: log.info, send: (report) => this.#note(report) });
  }

  get counters() {
    return this.#metrics.counters;
  }

  get watch() {
    return this.#reporter.watch;
  }

  /** Counts the failures of the management API. */
  watched(northbound: Application): Application {
    return withUploadFailures(northbound, (reason) => this.counters.uploadFailed(reason));
  }

  readonly downloadFailed = (reason: ErrorCode): void => this.counters.downloadFailed(reason);

  /** Takes note of a worker's report. */
  readonly report = (pid: number, report: Report): void => {
    this.#workers.set(pid, report);
    this.#forgetEnded();
    this.#lags.workers = Math.max(this.#lags.workers, report.lag);
    this.#take(report, true);
  };

  /** Gives what is told of bytes that arrive in a store. */
  received(place: Place) {
    const arrived = this.#arrived[place];
    return (name: string, bytes: number): void => void arrived.set(name, (arrived.get(name) ?? 0) + bytes);
  }

  /** From now on there is something to observe. */
  begin(parts: ObservedParts): void {
    this.#parts = parts;
    this.#reporter.start();
  }

  activity(): Activity {
    const transfers = [...this.#incoming(), ...this.#reports().flatMap((report) => report.transfers)];
    const total = this.#incoming().length + this.#sum(({ sending }) => sending);
    const workers = (this.#parts?.pool?.workers ?? []).map(({ pid, since }) => {
      return { pid, connections: this.#workers.get(pid)?.connections ?? 0, since: since.toISOString() };
    });
    const uptime = Math.round((performance.now() - this.#began) / 1000);
    return { version: this.version, uptime, transfers: { total, longest: longest(transfers) }, workers };
  }

  async metrics(): Promise<Exposition> {
    this.#reporter.report();
    return this.#metrics.render(await this.#state());
  }

  /** Ends with the last lines of the access log. */
  stop(): void {
    this.#reporter.stop();
  }

  #note(report: Report): void {
    this.#own = report;
    this.#lags.main = Math.max(this.#lags.main, report.lag);
    this.#take(report, false);
    for (const place of places) this.#countArrived(place);
  }

  #take(report: Report, isWorker: boolean): void {
    this.counters.add(report, isWorker);
    for (const line of report.lines) this.log.info(line);
  }

  #countArrived(place: Place): void {
    const arrived = [...this.#arrived[place]];
    this.#arrived[place].clear();
    for (const [name, bytes] of arrived) this.counters.received(storeNames[place], this.#imageOf(place, name), bytes);
  }

  /** `name/version` of the image that is made, or is going to be, from a file of a store. */
  #imageOf(place: Place, name: string): string | undefined {
    const [user] = place === 'iso' ? (this.#parts?.images.usersOf(name) ?? []) : [];
    return user && `${user.name}/${user.version}`;
  }

  #titles(): ReadonlySet<string> {
    return new Set(this.#parts?.images.all().map(({ name, version }) => `${name}/${version}`));
  }

  #incoming(): Transfer[] {
    const { stores } = this.#parts ?? {};
    return places.flatMap((place) =>
      (stores?.[place].arriving() ?? []).map((file) => this.#transfer(file, this.#imageOf(place, file.name))),
    );
  }

  #transfer(file: IncomingFile, image: string | undefined): Transfer {
    const { name, bytes, length, rate, client, source, since } = file;
    const direction = client === undefined ? 'download' : 'upload';
    const known = { ...(image !== undefined && { image }), ...(length !== undefined && { total: length }) };
    return { direction, client: client ?? hostOf(source), file: name, bytes, rate, since, ...known };
  }

  /** Of the processes that there are now. */
  #reports(): Report[] {
    this.#forgetEnded();
    return [...(this.#own ? [this.#own] : []), ...this.#workers.values()];
  }

  #forgetEnded(): void {
    const pids = new Set(this.#parts?.pool?.workers.map(({ pid }) => pid));
    for (const pid of this.#workers.keys()) if (!pids.has(pid)) this.#workers.delete(pid);
  }

  #sum(of: (report: Report) => number): number {
    return this.#reports().reduce((sum, report) => sum + of(report), 0);
  }

  async #state(): Promise<State> {
    const { images, stores, pool } = this.#parts ?? {};
    const counts = statuses.map((status) => [status, images?.list({ status }).length ?? 0] as const);
    const incoming = this.#incoming();
    const count = (wanted: string) => incoming.filter(({ direction }) => direction === wanted).length;
    const lags = this.#lags;
    this.#lags = { main: 0, workers: 0 };
    return {
      images: Object.fromEntries(counts),
      stores: stores === undefined ? {} : await spaces(stores),
      transfers: { upload: count('upload'), download: count('download'), send: this.#sum(({ sending }) => sending) },
      connections: this.#sum(({ connections }) => connections),
      workers: {
        count: pool?.workers.length ?? 0,
        memory: this.#sum(({ memory }) => memory) - (this.#own?.memory ?? 0),
      },
      lags,
      version: this.version,
    };
  }
}

/** How much room the stores have; one whose disk has gone is left out, and the other metrics are shown all the same. */
async function spaces(stores: ObservedParts['stores']): Promise<State['stores']> {
  const found = places.map(async (place) => {
    const space = await stores[place].space().catch(() => undefined);
    return space === undefined ? [] : [[storeNames[place], space] as const];
  });
  return Object.fromEntries((await Promise.all(found)).flat());
}
