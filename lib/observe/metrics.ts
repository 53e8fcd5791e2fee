import { collectDefaultMetrics, Registry } from 'prom-client';
import { Counters } from './counters.js';
import { Gauges, type State } from './gauges.js';

/** Text in the format of Prometheus. */
export interface Exposition {
  readonly type: string;
  readonly text: string;
}

/** Those of the process, whatever the number of services in it: what they watch is watched until the process ends. */
const processRegistry = new Registry();
let isCollecting = false;

/** Not before somebody wants to know: they watch the collector of garbage. */
function processMetrics(): Promise<string> {
  if (!isCollecting) {
    isCollecting = true;
    collectDefaultMetrics({ register: processRegistry });
    // They go up and down, under the names of counters; the sums of others tell the same.
    for (const kind of ['handles', 'requests', 'resources']) {
      processRegistry.removeSingleMetric(`nodejs_active_${kind}_total`);
    }
  }
  return processRegistry.metrics();
}

/** The metrics of one service. */
export class Metrics {
  readonly #registry = new Registry();
  readonly #gauges = new Gauges(this.#registry);
  readonly counters: Counters;

  /** @param images gives `name/version` of those that there are */
  constructor(images: () => ReadonlySet<string>) {
    this.counters = new Counters(this.#registry, images);
  }

  async render(state: State): Promise<Exposition> {
    this.counters.forget();
    this.#gauges.set(state);
    const texts = await Promise.all([this.#registry.metrics(), processMetrics()]);
    return { type: this.#registry.contentType, text: texts.join('') };
  }
}
