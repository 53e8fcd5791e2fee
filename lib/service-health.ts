import type { Place } from './images/facts.js';
import { StoreProbe, tryStore } from './images/store-probe.js';
import type { Readiness } from './northbound/health.js';

export interface HealthOptions {
  readonly stores: Readonly<Record<Place, { readonly folder: string }>>;
  /** Free bytes that each store has to have. */
  readonly minFreeBytes: () => number;
  /** The worker processes, where there are any. */
  readonly pool: { readonly isServing: boolean } | undefined;
}

type Phase = 'starting' | 'running' | 'stopping';

/** Whether the service is ready: it runs, at least one worker process lives, and the stores can be written. */
export class Health implements Readiness {
  /** Ports open one after the other, and those that are open have to close again when the next one is taken. */
  #phase: Phase = 'starting';
  readonly #probes: readonly (readonly [name: string, probe: StoreProbe])[];

  constructor(private readonly options: HealthOptions) {
    const { stores, minFreeBytes } = options;
    const probe = (folder: string) => new StoreProbe(() => tryStore(folder), minFreeBytes);
    this.#probes = [
      ['iso', probe(stores.iso.folder)],
      ['microkernel', probe(stores.common.folder)],
    ];
  }

  /**
   * The service, all of whose ports are open: it is ready, and clients can read its events, until its stop begins.
   * @param events end with it, before anybody waits for requests in flight
   */
  serve<T extends { stop(): Promise<void> }>(service: T, events: { begin(): void; stop(): void }): T {
    this.#phase = 'running';
    events.begin();
    const stop = () => {
      this.#phase = 'stopping';
      events.stop();
      return service.stop();
    };
    return { ...service, stop };
  }

  async reasons(): Promise<string[]> {
    // Nobody is to wait for a disk then.
    if (this.#phase !== 'running') return [`the service is ${this.#phase}`];
    const problems = await Promise.all(
      this.#probes.map(async ([name, probe]) => [name, await probe.problem()] as const),
    );
    const reasons = problems.flatMap(([name, problem]) =>
      problem === undefined ? [] : [`the store ${name} ${problem}`],
    );
    if (this.options.pool?.isServing === false) reasons.push('no worker process is running');
    return reasons;
  }
}
