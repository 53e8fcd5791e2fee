import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import { type AddressInfo, createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net';
import { ServiceError, messageOf } from '../errors.js';
import { FairAccepting } from './fair-accepting.js';
import { Listener, type ListenerOptions } from './listener.js';
import { Places } from './places.js';
import { responseClass } from './response.js';
import type { Credentials } from './tls.js';
import { TlsPort } from './tls-port.js';

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
  /** Where it speaks https. */
  readonly credentials?: Credentials | undefined;
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
   * @param credentials where it speaks https
   * @throws Error when somebody else has the port
   */
  listen(socket: unknown, credentials?: Credentials): Promise<void>;
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

/** A port, however what comes there reaches its server. */
interface Port {
  readonly server: NetServer;
  close(): void;
}

/** How often Node looks for requests that take too long: no later than a short limit. */
const checkInterval = 30_000;

/** Milliseconds, or `httpTimeout` where that is less. */
function within(limit: number, { httpTimeout }: ConnectionOptions): number {
  return httpTimeout === 0 ? limit : Math.min(limit, httpTimeout);
}

/** Node's server with our limits, and what turns its events into exchanges. */
function createListener(options: ConnectionOptions): Listener {
  const { httpTimeout } = options;
  const times = { ...defaultTimes, ...options.times };
  const places = new Places(options.maxConnections ?? Infinity, times.promised);
  const server = createServer({
    ServerResponse: responseClass(() => places.isWanted),
    keepAliveTimeout: times.keepAlive,
    // Node refuses a header limit above the request limit.
    headersTimeout: within(times.header, options),
    connectionsCheckingInterval: within(Math.min(checkInterval, times.header), options),
    // Node's 300 s would cut every upload that takes longer.
    requestTimeout: httpTimeout,
    // Bytes, of less than a record of TLS, so that what is too long begins where the record does (see `reasonOf`).
    maxHeaderSize: 15 * 1024,
    ...connectionOptions,
    // Node's own refusal has no body, and does not wait for its turn.
    requireHostHeader: false,
  });
  server.timeout = httpTimeout;
  // More than are accepted, so that none is left out unseen.
  server.maxHeadersCount = 1000;
  // A client may close its sending side behind its last request (RFC 9293 3.6): Node would not answer it any more.
  Object.assign(server, { httpAllowHalfOpen: true });
  return new Listener(server, places, options);
}

/** A port that gives its connections to a server which has none. */
function portFor(server: Server, options: ConnectionOptions, credentials: Credentials | undefined): Port {
  const connections = { ...connectionOptions, noDelay: true, allowHalfOpen: true };
  const connected = (connection: Socket) => server.emit('connection', connection);
  if (credentials !== undefined) {
    const patience = within(options.times?.header ?? defaultTimes.header, options);
    return new TlsPort(credentials, { connections, patience, log: options.log }, connected);
  }
  const port = createNetServer(connections, connected);
  return { server: port, close: () => port.close() };
}

async function stop(listener: Listener, timeout: number): Promise<void> {
  const closed = new Promise<void>((resolve) => listener.server.close(() => resolve()));
  const cut = setTimeout(() => listener.cut(), timeout);
  await Promise.all([closed, listener.close()]);
  clearTimeout(cut);
}

function openPort(server: NetServer, { address, port }: ServerOptions): Promise<void> {
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
  const { credentials, log } = options;
  const listener = createListener(options);
  const port = credentials === undefined ? undefined : portFor(listener.server, options, credentials);
  const server = port?.server ?? listener.server;
  await openPort(server, options);
  if (port !== undefined) listener.server.emit('listening');
  server.on('error', (error) => log.error(`server: ${error.message}`));
  const bound = server.address() as AddressInfo;
  return {
    address: bound.address,
    port: bound.port,
    get connections() {
      return listener.connections;
    },
    stop: (timeout) => {
      port?.close();
      return stop(listener, timeout);
    },
  };
}

/** Serves the connections of any number of ports, as a server with a port does. */
export function serveSockets(options: ConnectionOptions): SocketServer {
  const listener = createListener(options);
  const ports = new Set<Port>();
  const accepting = new FairAccepting();
  // Node watches over slow requests only from then on.
  listener.server.emit('listening');
  return {
    get connections() {
      return listener.connections;
    },
    async listen(socket, credentials) {
      const port = portFor(listener.server, options, credentials);
      const { server } = port;
      server.prependListener('connection', () => accepting.take());
      server.listen(socket, backlog);
      await once(server, 'listening');
      server.on('error', (error) => options.log.error(`server: ${error.message}`));
      ports.add(port);
    },
    stop: (timeout) => {
      for (const port of ports) port.close();
      return stop(listener, timeout);
    },
  };
}
