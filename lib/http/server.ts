import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import { type AddressInfo, createServer as createNetServer, type Server as NetServer } from 'node:net';
import { ServiceError, messageOf } from '../errors.js';
import { FairAccepting } from './fair-accepting.js';
import { Listener, type ListenerOptions } from './listener.js';
import { Places } from './places.js';
import { responseClass } from './response.js';

/** What the connections of a server may take, in milliseconds. */
export interface ConnectionTimes {
  /** How long an idle connection is kept. */
  readonly keepAlive: number;
  /** How long it is kept even when others wait for a place. */
  readonly promised: number;
  /** How long a header may take to arrive. */
  readonly header: number;
}

export interface ConnectionOptions extends ListenerOptions {
  /** Milliseconds that one request may take to arrive, and that a connection in use may be silent. 0: no limit. */
  readonly httpTimeout: number;
  /** How many connections are served at a time; the next ones wait, iPXE is told to come again. Left out: any number. */
  readonly maxConnections?: number;
  readonly times?: Partial<ConnectionTimes>;
}

export interface ServerOptions extends ConnectionOptions {
  readonly address: string;
  /** 0 takes any free port. */
  readonly port: number;
}

export interface ConnectionServer {
  /** How many connections are open, those that wait for a place included. */
  readonly connections: number;
  /** Takes no connection any more, lets requests in flight end, and cuts what is left after so many milliseconds. */
  stop(timeout: number): Promise<void>;
}

/** A server with a port of its own. */
export interface HttpServer extends ConnectionServer {
  readonly address: string;
  readonly port: number;
}

/** A server of ports that another process has opened. */
export interface SocketServer extends ConnectionServer {
  /**
   * Takes connections of a bound socket, beside any other process that has it.
   * @param socket as `net.Server.listen` takes it
   * @throws Error when somebody else has the port
   */
  listen(socket: unknown): Promise<void>;
}

const defaultTimes: ConnectionTimes = {
  // iPXE keeps idle connections for 10 s and firmware for longer; Node's 5 s would close them under a request.
  keepAlive: 65_000,
  promised: 15_000,
  // A client that has not sent its header by then never will.
  header: 60_000,
};
/**
 * A client that loses its power says nothing: after so many milliseconds of silence TCP asks whether it is still there,
 * and its upload gives the name free again.
 */
const connectionOptions = { keepAlive: true, keepAliveInitialDelay: 60_000 };
/** Connections that wait in the kernel: a thousand machines come at once after a power cut. */
const backlog = 4096;

/** How often Node looks for requests that take too long: no later than a short limit. */
const checkInterval = 30_000;

/** Node's server with our limits, and what turns its events into exchanges. */
function createListener(options: ConnectionOptions): Listener {
  const { httpTimeout } = options;
  const times = { ...defaultTimes, ...options.times };
  const within = (limit: number) => (httpTimeout === 0 ? limit : Math.min(limit, httpTimeout));
  const places = new Places(options.maxConnections ?? Infinity, times.promised);
  const server = createServer({
    ServerResponse: responseClass(() => places.isWanted),
    keepAliveTimeout: times.keepAlive,
    // Node refuses a header limit above the request limit.
    headersTimeout: within(times.header),
    connectionsCheckingInterval: within(Math.min(checkInterval, times.header)),
    // Node's 300 s would cut every upload that takes longer.
    requestTimeout: httpTimeout,
    ...connectionOptions,
    // Node's own refusal has no body, and does not wait for its turn.
    requireHostHeader: false,
  });
  server.timeout = httpTimeout;
  // A client may close its sending side behind its last request (RFC 9293 3.6): Node would not answer it any more.
  Object.assign(server, { httpAllowHalfOpen: true });
  return new Listener(server, places, options);
}

async function stop(listener: Listener, timeout: number): Promise<void> {
  const closed = new Promise<void>((resolve) => listener.server.close(() => resolve()));
  const cut = setTimeout(() => listener.cut(), timeout);
  await Promise.all([closed, listener.close()]);
  clearTimeout(cut);
}

function openPort(server: Server, { address, port }: ServerOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      const message = `Cannot listen on ${address} port ${port}: ${messageOf(error)}`;
      reject(new ServiceError('BAD_REQUEST', message, { cause: error }));
    });
    server.listen({ port, host: address, backlog }, resolve);
  });
}

/**
 * Opens a port.
 * @throws ServiceError BAD_REQUEST when the address cannot be listened on
 */
export async function listen(options: ServerOptions): Promise<HttpServer> {
  const listener = createListener(options);
  const { server } = listener;
  await openPort(server, options);
  server.on('error', (error) => options.log.error(`server: ${error.message}`));
  const bound = server.address() as AddressInfo;
  return {
    address: bound.address,
    port: bound.port,
    get connections() {
      return listener.connections;
    },
    stop: (timeout) => stop(listener, timeout),
  };
}

/** Serves the connections of any number of ports, as a server with a port does. */
export function serveSockets(options: ConnectionOptions): SocketServer {
  const listener = createListener(options);
  const { server } = listener;
  const ports = new Set<NetServer>();
  const accepting = new FairAccepting();
  // Node watches over slow requests only from then on.
  server.emit('listening');
  return {
    get connections() {
      return listener.connections;
    },
    async listen(socket) {
      const port = createNetServer({ ...connectionOptions, noDelay: true, allowHalfOpen: true });
      port.on('connection', (connection) => {
        accepting.take();
        server.emit('connection', connection);
      });
      port.listen(socket, backlog);
      await once(port, 'listening');
      port.on('error', (error) => options.log.error(`server: ${error.message}`));
      ports.add(port);
    },
    stop: (timeout) => {
      for (const port of ports) port.close();
      return stop(listener, timeout);
    },
  };
}
