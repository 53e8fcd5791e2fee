import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { ServiceError } from '../errors.js';
import type { Log } from '../log.js';
import { parsePath } from '../path.js';
import { type Answering, Connection, ConnectionExchange } from './connection.js';
import { type Application, hasBody } from './exchange.js';
import { checkFraming } from './framing.js';
import type { Places } from './places.js';
import { reasonOf, refuseBytes, requestTimeout } from './refusal.js';
import { sendError } from './reply.js';
import type { CountingResponse } from './response.js';
import type { Watch } from './watch.js';

export interface ListenerOptions {
  /** Asked in turn. */
  readonly applications: readonly Application[];
  readonly log: Log;
  /** Is told of all connections and their requests. */
  readonly watch?: Watch | undefined;
}

/** Turns what happens on the server's sockets into exchanges. */
export class Listener implements Answering {
  readonly #connections = new Map<Duplex, Connection>();
  readonly #reportAnswer = (error: Error) => this.options.log.debug(`answer: ${error.message}`);
  readonly #unanswered: ConnectionExchange[] = [];
  #whenEmpty: (() => void) | undefined;

  constructor(
    readonly server: Server<typeof IncomingMessage, typeof CountingResponse>,
    readonly places: Places,
    readonly options: ListenerOptions,
  ) {
    server.on('connection', (socket) => this.#connect(socket));
    const serve = (request: IncomingMessage, response: CountingResponse) => this.#serve(request, response);
    server.on('request', serve);
    // The same checks before the body is asked for: with `Expect: 100-continue` a refusal costs no byte of it.
    server.on('checkContinue', serve);
    server.on('checkExpectation', serve);
    server.on('clientError', (error, socket) => this.#refuse(reasonOf(error), error.message, socket));
  }

  /** How many connections are open, whatever they do. */
  get connections(): number {
    return this.#connections.size;
  }

  /** Lets requests in flight end, closes what has none, and resolves when no connection is open. */
  close(): Promise<void> {
    // Browsers open connections ahead of need: Node counts one as idle only after its first request.
    for (const { socket } of this.#connections.values()) if (socket.bytesRead === 0) socket.destroy();
    this.places.close();
    return new Promise((resolve) => {
      this.#whenEmpty = resolve;
      if (this.#connections.size === 0) resolve();
    });
  }

  /** Closes what is still open. */
  cut(): void {
    for (const { socket } of this.#connections.values()) socket.destroy();
  }

  async #answer(exchange: ConnectionExchange): Promise<void> {
    const { log, applications } = this.options;
    const { request, response } = exchange;
    try {
      // After a broken frame the bytes that follow cannot be trusted to be a request.
      checkFraming(request, () => response.setHeader('Connection', 'close'));
      exchange.locate(parsePath(request.url ?? '/'));
      for (const application of applications) if (await application(exchange)) return;
      throw new ServiceError('NOT_FOUND', 'There is nothing at this URL');
    } catch (error) {
      sendError(exchange, error, log);
    }
  }

  answer(exchange: ConnectionExchange): void {
    // Whoever receives a body has to be there when it begins to arrive.
    if (hasBody(exchange.request)) {
      void this.#answer(exchange);
      return;
    }
    // Those that come in one turn of the event loop are all read before the first is answered: with an answer after each
    // one, its client would take the processor, and small files would take twice as long.
    if (this.#unanswered.push(exchange) > 1) return;
    setImmediate(() => {
      for (const each of this.#unanswered.splice(0)) void this.#answer(each);
    });
  }

  turnAway(exchange: ConnectionExchange): void {
    exchange.response.shouldKeepAlive = false;
    const message = 'So many clients are being served that there is no room for another one; ask again soon';
    sendError(exchange, new ServiceError('UNAVAILABLE', message), this.options.log);
  }

  giveUp(connection: Connection): void {
    this.places.refuse(connection);
  }

  #connect(socket: Socket): void {
    const connection = new Connection(socket, this, this.options.watch?.(socket));
    this.#connections.set(socket, connection);
    socket.once('close', () => {
      this.#connections.delete(socket);
      connection.end();
      this.places.leave(connection);
      if (this.#connections.size === 0) this.#whenEmpty?.();
    });
    this.places.enter(connection);
  }

  #serve(request: IncomingMessage, response: CountingResponse): void {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return;
    const exchange = new ConnectionExchange(connection, request, response);
    this.#watch(exchange);
    if (connection.add(exchange)) this.places.ask(connection);
  }

  #watch(exchange: ConnectionExchange): void {
    const { log } = this.options;
    const { connection, request, response } = exchange;
    if (hasBody(request)) {
      // Emitted when the connection falls silent before the request is whole; Node would cut it without a word.
      request.once('timeout', () => this.#refuse(requestTimeout, 'silent', request.socket));
      request.on('error', (error) => log.debug(`request: ${error.message}`));
    }
    // A connection that dies under an answer is no news: it shows as `closed`.
    response.on('error', this.#reportAnswer);
    response.on('close', () => {
      if (connection.remove(exchange)) this.places.rest(connection);
    });
  }

  /** What Node's parser refuses, and requests that did not arrive in time. */
  #refuse(reason: string | undefined, words: string, socket: Duplex): void {
    // More of what was refused already.
    if (socket.writableEnded) return;
    const connection = this.#connections.get(socket);
    const refuse = () => refuseBytes(socket, reason, words);
    if (reason === 'ECONNRESET' || !socket.writable) socket.destroy();
    // What is broken comes behind requests that are not, and has its answer behind theirs.
    else if (connection?.isWhole === true) connection.afterwards(refuse);
    // A second answer inside the first would become part of its body.
    else if (connection?.hasBegun === true) socket.destroy();
    else refuse();
  }
}
