import type { Config } from './config.js';
import { type Endpoint, type Router, allRouters } from './config-keys.js';
import type { Application } from './http/exchange.js';
import { listen } from './http/server.js';
import type { Watch } from './http/watch.js';
import type { Log } from './log.js';
import type { Certificates } from './service-certificates.js';
import type { WorkerPool } from './workers/pool.js';

/** An open port. */
export interface OpenEndpoint {
  readonly address: string;
  readonly port: number;
  /** Stops listening, lets requests in flight end, and cuts what is left after so many milliseconds. */
  stop(timeout: number): Promise<void>;
}

/** What endpoints are opened with. */
export interface EndpointParts {
  /** Serves those that have southbound alone; undefined: this process does. */
  readonly pool: WorkerPool | undefined;
  readonly certificates: Certificates;
  readonly log: Log;
  /** Is told of the connections of this process. */
  readonly watch?: Watch;
}

/** Whether worker processes can serve an endpoint: they know no northbound. */
function isForWorkers({ routers }: Endpoint): boolean {
  return routers.every((router) => router === 'southbound');
}

/** How many workers this configuration needs. */
export function workerCount({ southboundWorkers, httpEndpoints }: Config): number {
  return httpEndpoints.some(isForWorkers) ? southboundWorkers : 0;
}

/**
 * Opens every endpoint, or none.
 * @throws ServiceError BAD_REQUEST when an address cannot be listened on
 */
export async function listenAll(
  config: Config,
  application: Record<Router, Application>,
  { pool, certificates, log, watch }: EndpointParts,
): Promise<OpenEndpoint[]> {
  const { httpTimeout, maxConnections } = config;
  const opened: OpenEndpoint[] = [];
  try {
    for (const [index, endpoint] of config.httpEndpoints.entries()) {
      const { address, port, routers } = endpoint;
      // What northbound has no route for is southbound's, where an endpoint has both.
      const order = allRouters.filter((router) => routers.includes(router));
      const applications = order.map((router) => application[router]);
      const credentials = certificates.of(index);
      const limits = routers.includes('southbound') ? { maxConnections } : {};
      opened.push(
        pool !== undefined && isForWorkers(endpoint)
          ? await pool.listen(address, port, credentials)
          : await listen({ address, port, httpTimeout, applications, log, watch, credentials, ...limits }),
      );
      const [{ address: bound, port: number } = { address, port }] = opened.slice(-1);
      const scheme = credentials === undefined ? '' : ', https';
      const clients = endpoint.tls?.ca === undefined ? '' : ', clients with certificates only';
      log.info(`${order.join(' and ')} on ${bound} port ${number}${scheme}${clients}`);
    }
    return opened;
  } catch (error) {
    await Promise.all(opened.map((endpoint) => endpoint.stop(0)));
    throw error;
  }
}
