import { Gauge, type Registry } from 'prom-client';

/** How the service is at the moment. */
export interface State {
  /** How many images have each status, those included that none has. */
  readonly images: Readonly<Record<string, number>>;
  /** Bytes, of the stores that can be read. */
  readonly stores: Readonly<Record<string, { readonly free: number; readonly used: number }>>;
  /** Transfers that go on, by direction. */
  readonly transfers: Readonly<Record<string, number>>;
  readonly connections: number;
  /** How many worker processes there are, and the bytes of memory that they have together. */
  readonly workers: { readonly count: number; readonly memory: number };
  /** Seconds that an event loop was late at the most since the last time, by process. */
  readonly lags: Readonly<Record<string, number>>;
  readonly version: string;
}

/** What goes up and down. */
export class Gauges {
  readonly #images;
  readonly #free;
  readonly #used;
  readonly #transfers;
  readonly #connections;
  readonly #workers;
  readonly #memory;
  readonly #lag;
  readonly #build;

  constructor(register: Registry) {
    const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Gauge({ name: `image_service_${name}`, help, labelNames, registers: [register] });
    this.#images = gauge('images', 'Images, by status.', 'status');
    this.#free = gauge('store_free_bytes', 'Bytes that are free on the file system of a store.', 'store');
    this.#used = gauge('store_used_bytes', 'Bytes that the files of a store take.', 'store');
    this.#transfers = gauge('transfers_in_progress', 'Transfers that go on, by direction.', 'direction');
    this.#connections = gauge('connections', 'Connections that are open, idle ones included.');
    this.#workers = gauge('workers', 'Worker processes that serve the machines.');
    this.#memory = gauge('worker_resident_memory_bytes', 'Memory that all worker processes have together.');
    this.#lag = gauge(
      'event_loop_lag_seconds',
      'The longest that an event loop was late since the last scrape; of the workers the worst.',
      'process',
    );
    this.#build = gauge('build_info', 'Always 1; the version is in the label.', 'version');
  }

  set(state: State): void {
    for (const [status, count] of Object.entries(state.images)) this.#images.set({ status }, count);
    // One whose disk has gone has no figure, rather than the last one.
    this.#free.reset();
    this.#used.reset();
    for (const [store, { free, used }] of Object.entries(state.stores)) {
      this.#free.set({ store }, free);
      this.#used.set({ store }, used);
    }
    for (const [direction, count] of Object.entries(state.transfers)) this.#transfers.set({ direction }, count);
    this.#connections.set(state.connections);
    this.#workers.set(state.workers.count);
    this.#memory.set(state.workers.memory);
    for (const [process, seconds] of Object.entries(state.lags)) this.#lag.set({ process }, seconds);
    this.#build.set({ version: state.version }, 1);
  }
}
