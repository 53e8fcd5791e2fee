import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setMaxListeners } from 'node:events';
import { type ErrorCode, ServiceError, messageOf, systemCode } from '../errors.js';
import type { Log } from '../log.js';
import { parsePath } from '../path.js';
import type { Application, Exchange } from './exchange.js';
import { lingerLimits } from './linger.js';
import { errorBody, sendError } from './reply.js';

export interface ServerOptions {
  readonly address: string;
  /** 0 takes any free port. */
  readonly port: number;
  /** Milliseconds that one request may take to arrive, and that a connection in use may be silent. 0: no limit. */
  readonly httpTimeout: number;
  /** Asked in turn. */
  readonly applications: readonly Application[];
  readonly log: Log;
}

export interface HttpServer {
  readonly address: string;
  readonly port: number;
  /** Stops listening, lets requests in flight end, and cuts what is left after so many milliseconds. */
  stop(timeout: number): Promise<void>;
}

/** iPXE keeps idle connections for 10 s and firmware for longer; Node's 5 s would close them under a request. */
const keepAliveTimeout = 65_000;
/** Milliseconds of silence after which TCP asks whether the far end is still there. */
const keepAliveInitialDelay = 60_000;
/** A client that has not sent its header by then never will. */
const headersTimeout = 60_000;
/** How often Node looks for requests that take too long: no later than a short `httpTimeout`. */
const checkInterval = 30_000;

/** Requests of one connection that may wait for their turn; apt sends 10. */
const maxPipelined = 100;

const reasons: Record<number, string> = { 400: 'Bad Request', 408: 'Request Timeout', 431: 'Header Too Large' };

/** The socket's part of an exchange: aborted with the connection, and the answers that are not finished. */
interface Connection {
  readonly closed: AbortController;
  readonly answers: Set<ServerResponse>;
}

/** Turns what happens on the server's sockets into exchanges. */
class Listener {
  readonly #connections = new WeakMap<Duplex, Connection>();
  /** Sockets without a request so far. */
  readonly #unused = new Set<Socket>();

  constructor(
    readonly server: Server,
    readonly options: ServerOptions,
  ) {
    server.on('connection', (socket) => this.#connect(socket));
    const serve = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, response);
    server.on('request', serve);
    // The same checks before the body is asked for: with `Expect: 100-continue` a refusal costs no byte of it.
    server.on('checkContinue', serve);
    server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      const message = `Expect ${request.headers.expect ?? ''} is not known here; allowed: 100-continue`;
      const exchange = exchangeOf(request, response, new AbortController().signal);
      sendError(exchange, new ServiceError('EXPECTATION_FAILED', message), options.log);
    });
    server.on('clientError', (error, socket) => this.#refuse(systemCode(error), error.message, socket));
  }

  #connect(socket: Socket): void {
    const closed = new AbortController();
    // Every pipelined request of the connection listens.
    setMaxListeners(0, closed.signal);
    this.#connections.set(socket, { closed, answers: new Set() });
    this.#unused.add(socket);
    socket.once('close', () => {
      this.#unused.delete(socket);
      closed.abort();
    });
  }

  /** Closes what browsers open ahead of need: Node counts a connection as idle only after its first request. */
  closeUnused(): void {
    for (const socket of this.#unused) if (socket.bytesRead === 0) socket.destroy();
  }

  /** Answers the requests of a connection one after the other: each one waits until the answer before it is out. */
  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return;
    const { answers, closed } = connection;
    this.#unused.delete(request.socket);
    this.#watch(request, response);
    const before = [...answers].at(-1);
    answers.add(response);
    response.once('close', () => answers.delete(response));
    // Node goes on reading requests that nobody has come to yet.
    if (answers.size > maxPipelined) request.socket.destroy();
    if (before !== undefined) await finished(before, closed.signal);
    if (!closed.signal.aborted) await this.#answer(exchangeOf(request, response, closed.signal));
  }

  #watch(request: IncomingMessage, response: ServerResponse): void {
    const { log } = this.options;
    const began = Date.now();
    // Emitted when the connection falls silent before the request is whole; Node would cut it without a word.
    request.once('timeout', () => this.#refuse('ERR_HTTP_REQUEST_TIMEOUT', 'silent', request.socket));
    // A connection that dies under an answer is no news: it shows as `closed`.
    request.on('error', (error) => log.debug(`request: ${error.message}`));
    response.on('error', (error) => log.debug(`answer: ${error.message}`));
    response.once('close', () => {
      // Not the query: the URL of a download can have a password in it.
      const what = `${request.method ?? ''} ${request.url?.replace(/\?.*/, '?…') ?? ''} ${response.statusCode}`;
      log.debug(`${request.socket.remoteAddress ?? 'gone'} ${what} ${Date.now() - began} ms`);
    });
  }

  async #answer(exchange: Exchange): Promise<void> {
    const { log, applications } = this.options;
    const { request, response } = exchange;
    try {
      // After a broken frame the bytes that follow cannot be trusted to be a request.
      checkFraming(request, () => response.setHeader('Connection', 'close'));
      const located = { ...exchange, ...parsePath(request.url ?? '/') };
      for (const application of applications) if (await application(located)) return;
      throw new ServiceError('NOT_FOUND', 'There is nothing at this URL');
    } catch (error) {
      sendError(exchange, error, log);
    }
  }

  /** What Node's parser refuses, and requests that did not arrive in time. */
  #refuse(reason: string | undefined, words: string, socket: Duplex): void {
    // More of what was refused already.
    if (socket.writableEnded) return;
    const answers = [...(this.#connections.get(socket)?.answers ?? [])];
    // A second answer inside the first would become part of its body.
    const hasBegun = answers.length > 1 || answers.some((answer) => answer.headersSent);
    if (reason === 'ECONNRESET' || !socket.writable || hasBegun) {
      socket.destroy();
      return;
    }
    const timeout = reason === 'ERR_HTTP_REQUEST_TIMEOUT';
    const status = timeout ? 408 : reason === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
    const body = errorBody(
      timeout
        ? new ServiceError('TIMEOUT', 'The request did not arrive in time')
        : new ServiceError('BAD_REQUEST', `Not a valid HTTP request: ${words}`),
    );
    const head = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
    socket.end(`HTTP/1.1 ${status} ${reasons[status] ?? ''}\r\n${head}\r\n\r\n${body}`);
    // The client may be sending still, and has to see the answer before the connection is gone.
    setTimeout(() => socket.destroy(), lingerLimits.idle).unref();
  }
}

function exchangeOf(request: IncomingMessage, response: ServerResponse, closed: AbortSignal): Exchange {
  const target = request.url ?? '/';
  const mark = target.indexOf('?');
  const search = mark < 0 ? '' : target.slice(mark);
  const query = new URLSearchParams(search);
  return { request, response, path: [], endsWithSlash: false, search, query, closed };
}

/** What Node accepts and RFC 9112 (3.2, 6.1) does not: doors for request smuggling through a proxy. */
function checkFraming(request: IncomingMessage, broken: () => void): void {
  const refuse = (code: ErrorCode, message: string): never => {
    broken();
    throw new ServiceError(code, message);
  };
  const hosts = request.rawHeaders.filter((name, index) => index % 2 === 0 && name.toLowerCase() === 'host');
  if (hosts.length > 1) refuse('BAD_REQUEST', 'The request has two Host headers');
  const coding = request.headers['transfer-encoding'];
  if (coding !== undefined && request.httpVersion === '1.0') {
    refuse('BAD_REQUEST', 'HTTP/1.0 has no Transfer-Encoding');
  }
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked') {
    refuse('NOT_IMPLEMENTED', `Transfer-Encoding ${coding} is not known here; allowed: chunked`);
  }
}

/** Resolves when an answer is out, or its connection is gone: an answer that waits for its turn is not told. */
function finished(response: ServerResponse, closed: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (response.closed || closed.aborted) resolve();
    response.once('close', resolve);
    closed.addEventListener('abort', () => resolve(), { once: true });
  });
}

async function stop(listener: Listener, timeout: number): Promise<void> {
  const { server } = listener;
  const stopped = new Promise<void>((resolve) => server.close(() => resolve()));
  listener.closeUnused();
  // A kept-alive connection becomes idle when its answer ends, and Node closes only those that are idle already.
  const idle = setInterval(() => server.closeIdleConnections(), 50);
  const cut = setTimeout(() => server.closeAllConnections(), timeout);
  await stopped;
  clearInterval(idle);
  clearTimeout(cut);
}

/**
 * Opens a port.
 * @throws ServiceError BAD_REQUEST when the address cannot be listened on
 */
export async function listen(options: ServerOptions): Promise<HttpServer> {
  const { address, port, httpTimeout } = options;
  const within = (limit: number) => (httpTimeout === 0 ? limit : Math.min(limit, httpTimeout));
  const server = createServer({
    keepAliveTimeout,
    // Node refuses a header limit above the request limit.
    headersTimeout: within(headersTimeout),
    connectionsCheckingInterval: within(checkInterval),
    // Node's 300 s would cut every upload that takes longer.
    requestTimeout: httpTimeout,
    // A client that loses its power says nothing: TCP finds out, and its upload gives the name free again.
    keepAlive: true,
    keepAliveInitialDelay,
  });
  server.timeout = httpTimeout;
  // A client may close its sending side behind its last request (RFC 9293 3.6): Node would not answer it any more.
  Object.assign(server, { httpAllowHalfOpen: true });
  const listener = new Listener(server, options);
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => {
      const message = `Cannot listen on ${address} port ${port}: ${messageOf(error)}`;
      reject(new ServiceError('BAD_REQUEST', message, { cause: error }));
    });
    server.listen(port, address, resolve);
  });
  server.on('error', (error) => options.log.error(`server: ${error.message}`));
  const bound = listener.server.address() as AddressInfo;
  return { address: bound.address, port: bound.port, stop: (timeout) => stop(listener, timeout) };
}
