import { sendJson } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import type { Images } from '../images/images.js';
import type { Store } from '../images/store.js';
import type { Observed } from '../observe/observed.js';
import { queryParameters } from './parameters.js';

/** How ISOs become trees: the driver of the configuration, and, in words, what keeps it from working here. */
export interface DriverState {
  readonly driver: string;
  readonly unavailable?: string;
}

export interface StatusResource {
  readonly stores: Readonly<Record<string, Store>>;
  readonly images: Images;
  readonly mount: DriverState;
  readonly observed: Observed;
}

/** The handler of `/status`: what the service is busy with, how much room there is, in bytes, and what serves each image. */
export function statusHandler({ stores, images, mount, observed }: StatusResource): Handler {
  return async (exchange) => {
    queryParameters(exchange, []);
    const spaces = Object.entries(stores).map(
      async ([name, store]) => [name, await store.space().catch(() => null)] as const,
    );
    const served = images
      .list({ status: 'OK' })
      .map(({ id, name, version, driver, view, why, unmount }) => ({ id, name, version, driver, view, why, unmount }));
    const { version, uptime, transfers, workers } = observed.activity();
    const shown = transfers.longest.map((one) => ({ ...one, since: new Date(one.since).toISOString() }));
    sendJson(exchange, 200, {
      ...{ version, uptime, driver: mount.driver },
      stores: Object.fromEntries(await Promise.all(spaces)),
      transfers: { total: transfers.total, longest: shown },
      workers,
      mount: { ...mount, images: served },
    });
  };
}
