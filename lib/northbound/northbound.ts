import type { Application } from '../http/exchange.js';
import { type Route, createRouter } from '../http/router.js';
import type { Images } from '../images/images.js';
import type { Store } from '../images/store.js';
import type { Log } from '../log.js';
import { fileHandlers } from './files.js';
import { imageHandlers } from './images.js';
import { indexHandler } from './index-page.js';
import { type DriverState, statusHandler } from './status.js';

export interface NorthboundOptions {
  readonly images: Images;
  readonly isoStore: Store;
  readonly microkernelStore: Store;
  readonly mount: DriverState;
  readonly version: string;
  readonly log: Log;
}

/** The management API. */
export function createNorthbound(options: NorthboundOptions): Application {
  const { images, isoStore, microkernelStore, mount, log } = options;
  const image = imageHandlers({ images, isoStore, log });
  const iso = fileHandlers({ store: isoStore, images, log });
  const microkernel = fileHandlers({ store: microkernelStore, log });
  const routes: readonly Route[] = [
    ['GET', '/images', image.list],
    ['HEAD', '/images', image.head],
    ['GET', '/images/:id', image.get],
    ['PUT', '/images', image.put],
    ['POST', '/images', image.put],
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
    ['GET', '/status', statusHandler({ stores: { iso: isoStore, microkernel: microkernelStore }, images, mount })],
    ['GET', '/', indexHandler(options.version, () => routes)],
  ];
  return createRouter(routes);
}
