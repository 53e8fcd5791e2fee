import { Counter, type Registry } from 'prom-client';
import type { ErrorCode } from '../errors.js';
import type { Report } from './report.js';

/** The label of what belongs to no image, or no store. */
const none = 'none';

/** The stores whose files the routes of the file server lead to. */
const stores: Readonly<Record<string, string>> = { image: 'iso', iso: 'iso', common: 'microkernel' };

/** The sums of all processes since the start of the service. */
export class Counters {
  readonly #requests;
  readonly #sent;
  readonly #received;
  readonly #uploadFailures;
  readonly #downloadFailures;
  readonly #processor;
  /** Images that have series of their own. */
  readonly #images = new Set<string>();

  /** @param images gives `name/version` of those that there are: no others become labels */
  constructor(
    register: Registry,
    private readonly images: () => ReadonlySet<string>,
  ) {
    const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Counter({ name: `image_service_${name}_total`, help, labelNames, registers: [register] });
    this.#requests = counter(
      'http_requests',
      'Requests that have ended, by route and status of the answer; 499: the client had gone before it began.',
      'route',
      'status',
    );
    this.#sent = counter('sent_bytes', 'Bytes of answers of the file server.', 'image', 'store');
    this.#received = counter('received_bytes', 'Bytes of uploads and downloads written to disk.', 'image', 'store');
    this.#uploadFailures = counter('upload_failures', 'Uploads that were refused or broke off, by code.', 'reason');
    this.#downloadFailures = counter('download_failures', 'Downloads that were given up, by code.', 'reason');
    this.#processor = counter(
      'worker_cpu_seconds',
      'Processor time of all worker processes; process_cpu_seconds_total is that of the main process.',
    );
  }

  /** Adds what a process has to tell. */
  add({ requests, sent, processor }: Report, isWorker: boolean): void {
    for (const [route, status, count] of requests) this.#requests.inc({ route, status }, count);
    const images = sent.length > 0 ? this.images() : new Set<string>();
    for (const [route, item, bytes] of sent) this.#sent.inc(this.#labels(item, stores[route], images), bytes);
    if (isWorker) this.#processor.inc(processor);
  }

  /** @param item `name/version` of the image whose ISO it is */
  received(store: string, item: string | undefined, bytes: number): void {
    this.#received.inc(this.#labels(item, store, this.images()), bytes);
  }

  uploadFailed(reason: ErrorCode): void {
    this.#uploadFailures.inc({ reason });
  }

  downloadFailed(reason: ErrorCode): void {
    this.#downloadFailures.inc({ reason });
  }

  /** Drops the series of images that have been deleted: a service that runs for years has had many. */
  forget(): void {
    const images = this.images();
    for (const image of this.#images) {
      if (images.has(image)) continue;
      this.#images.delete(image);
      for (const counter of [this.#sent, this.#received]) counter.remove({ image, store: 'iso' });
    }
  }

  #labels(item: string | undefined, store = none, images: ReadonlySet<string>) {
    const image = item !== undefined && images.has(item) ? item : none;
    if (image !== none) this.#images.add(image);
    return { image, store };
  }
}
