import { crossOrigin } from '../http/cross-origin.js';
import type { EventStream } from '../http/event-stream.js';
import type { Application, Exchange } from '../http/exchange.js';
import { type Guard, type Route, createRouter } from '../http/router.js';
import type { Changes } from '../images/changes.js';
import type { Images } from '../images/images.js';
import type { Store } from '../images/store.js';
import type { Log } from '../log.js';
import type { Signature } from '../systems/signature.js';
import type { Observed } from '../observe/observed.js';
import { eventsHandler } from './events.js';
import { fileHandlers } from './files.js';
import { aliveHandler, readyHandler, type Readiness } from './health.js';
import { checkHandler } from './image-check.js';
import { recipeHandler } from './image-recipe.js';
import { imageHandlers } from './images.js';
import { indexHandler } from './index-page.js';
import { metricsHandler } from './metrics.js';
import { type DriverState, statusHandler } from './status.js';

export interface NorthboundOptions {
  readonly images: Images;
  readonly isoStore: Store;
  readonly microkernelStore: Store;
  readonly mount: DriverState;
  readonly readiness: Readiness;
  readonly events: { readonly stream: EventStream; readonly changes: Changes };
  /** URL of the file server, without a slash at its end, as machines reach it that are where the client is. */
  readonly fileServerUrl: (exchange: Exchange) => string;
  readonly version: string;
  readonly observed: Observed;
  readonly log: Log;
  /** How systems are recognized. */
  readonly signatures: readonly Signature[];
  /** Sees every request but those for `openPaths`; left out: all are welcome. */
  readonly guard?: (exchange: Exchange) => Promise<void>;
  /** Origins whose web pages may change things. */
  readonly corsOrigins: readonly string[];
  /** Undefined: any number. */
  readonly maxUploadBytes: number | undefined;
}

/** Paths of the table that need no credentials: they hold no data, and a page that logs in must be there before. */
const openPaths: ReadonlySet<string> = new Set(['/', '/healthz', '/readyz']);

const readingMethods: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD']);

/** The management API. */
export function createNorthbound(options: NorthboundOptions): Application {
  const { images, isoStore, microkernelStore, mount, readiness, events, observed, log } = options;
  const stores = { iso: isoStore, microkernel: microkernelStore };
  const limits = { log, maxUploadBytes: () => options.maxUploadBytes ?? Infinity };
  const image = imageHandlers({ images, isoStore, ...limits, signatures: () => options.signatures });
  const iso = fileHandlers({ store: isoStore, images, usersOf: (name) => images.usersOf(name), ...limits });
  const usersOf = (name: string) => images.bundlesWith(name);
  const microkernel = fileHandlers({ store: microkernelStore, usersOf, ...limits });
  const downloading = (iso: string) => images.list({ iso, status: 'downloading iso' });
  const routes: readonly Route[] = [
    ['GET', '/images', image.list],
    ['HEAD', '/images', image.head],
    ['GET', '/images/:id', image.get],
    ['GET', '/images/:id/check', checkHandler(images)],
    ['GET', '/images/:id/recipe', recipeHandler(images, options.fileServerUrl)],
    ['PUT', '/images', image.put],
    ['POST', '/images', image.put],
    ['PATCH', '/images', image.edit],
    ['DELETE', '/images', image.remove],
    ['GET', '/iso', iso.list],
    ['HEAD', '/iso', iso.head],
    ['PUT', '/iso', iso.put],
    ['POST', '/iso', iso.put],
    ['DELETE', '/iso', iso.remove],
    ['GET', '/microkernel', microkernel.list],
    ['HEAD', '/microkernel', microkernel.head],
    ['PUT', '/microkernel', microkernel.put],
    ['POST', '/microkernel', microkernel.put],
    ['DELETE', '/microkernel', microkernel.remove],
    ['GET', '/status', statusHandler({ stores, images, mount, observed })],
    ['GET', '/events', eventsHandler({ ...events, downloading })],
    ['GET', '/healthz', aliveHandler()],
    ['GET', '/readyz', readyHandler(readiness)],
    ['GET', '/metrics', metricsHandler(observed)],
    ['GET', '/', indexHandler(options.version, () => routes)],
  ];
  const guard: Guard = async (exchange, path) => {
    const isOpen = openPaths.has(path) && readingMethods.has(exchange.request.method);
    if (!isOpen) await options.guard?.(exchange);
  };
  const rules = {
    isReadOnly: false,
    get origins() {
      return options.corsOrigins;
    },
  } as const;
  // Before the guard: what a browser asks before it sends has no credentials.
  return crossOrigin(rules, createRouter(routes, guard));
}
