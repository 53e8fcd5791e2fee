import { setMaxListeners } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { UrlPath } from '../path.js';
import type { ErrorCode } from '../errors.js';
import { hasBody, type Subject } from './exchange.js';
import type { Guest } from './places.js';
import type { CountingResponse } from './response.js';
import type { Watched, Watcher } from './watch.js';

/** Requests of one connection that may wait for their turn; apt sends 10. */
const maxPipelined = 100;

/** What a connection leaves to its server. */
export interface Answering {
  /** Answers a request whose turn has come. */
  answer(exchange: ConnectionExchange): void;
  /** Tells a client to come later. */
  turnAway(exchange: ConnectionExchange): void;
  /** A connection that waits is of no use any more. */
  giveUp(connection: Connection): void;
}

/** One request of a connection. Most answers need neither query nor signal, so that they are made when asked for. */
export class ConnectionExchange implements Watched {
  path: readonly string[] = [];
  endsWithSlash = false;
  subject?: Subject;
  failure?: ErrorCode;
  readonly began = performance.now();
  #query: URLSearchParams | undefined;

  constructor(
    readonly connection: Connection,
    readonly request: IncomingMessage,
    readonly response: CountingResponse,
  ) {}

  locate({ path, endsWithSlash }: UrlPath): void {
    this.path = path;
    this.endsWithSlash = endsWithSlash;
  }

  get search(): string {
    const target = this.request.url ?? '/';
    const mark = target.indexOf('?');
    return mark < 0 ? '' : target.slice(mark);
  }

  get query(): URLSearchParams {
    return (this.#query ??= new URLSearchParams(this.search));
  }

  get closed(): AbortSignal {
    return this.connection.closed;
  }
}

/** A client's connection: its requests are answered one after the other, each one when the answer before it is out. */
export class Connection implements Guest {
  /** Those that are not answered yet, in order. */
  readonly #exchanges: ConnectionExchange[] = [];
  #closing: AbortController | undefined;
  #isClosed = false;
  #giveUp: (() => void) | undefined;
  #afterwards: (() => void) | undefined;

  constructor(
    readonly socket: Socket,
    readonly server: Answering,
    private readonly watcher?: Watcher,
  ) {}

  /** Aborted when the connection is gone. */
  get closed(): AbortSignal {
    if (this.#closing === undefined) {
      this.#closing = new AbortController();
      // Every pipelined request of the connection listens.
      setMaxListeners(0, this.#closing.signal);
      if (this.#isClosed) this.#closing.abort();
    }
    return this.#closing.signal;
  }

  /** Whether there are requests to be answered, and the last one has arrived to its end. */
  get isWhole(): boolean {
    return this.#exchanges.at(-1)?.request.complete === true;
  }

  /** Whether something that is not the next answer would end up within one. */
  get hasBegun(): boolean {
    const exchanges = this.#exchanges;
    return exchanges.length > 1 || exchanges.some(({ response }) => response.headersSent);
  }

  /** iPXE asks again by itself (RFC 9110 10.2.3), where others fail. */
  get returns(): boolean {
    return this.#exchanges[0]?.request.headers['user-agent']?.startsWith('iPXE/') ?? false;
  }

  /** Takes note of a request. @returns whether its turn is now */
  add(exchange: ConnectionExchange): boolean {
    this.#exchanges.push(exchange);
    this.watcher?.begin(exchange);
    // Node goes on reading requests that nobody has come to yet.
    if (this.#exchanges.length > maxPipelined) this.socket.destroy();
    // No more is read than has come already: only a connection that is read from shows that its client has left.
    if (this.#giveUp !== undefined) this.socket.pause();
    return this.#exchanges.length === 1;
  }

  /** An answer is out, or will never be: the next one begins. @returns whether there is none */
  remove(exchange: ConnectionExchange): boolean {
    // Those of a closed connection have ended with it.
    if (!this.#isClosed) this.watcher?.end(exchange);
    this.#exchanges.splice(this.#exchanges.indexOf(exchange), 1);
    // Behind an answer with `Connection: close` there is no other.
    const { destroyed, writableEnded } = this.socket;
    if (destroyed || writableEnded) return this.#exchanges.length === 0;
    this.#begin();
    if (this.#exchanges.length > 0) return false;
    this.#afterwards?.();
    return true;
  }

  /** Does the first of such works when all is answered, if there is still a client to see it. */
  afterwards(work: () => void): void {
    this.#afterwards ??= work;
  }

  serve(): void {
    this.#stopWaiting();
    this.#begin();
  }

  wait(): void {
    const [exchange] = this.#exchanges;
    if (exchange === undefined) return;
    const giveUp = () => this.server.giveUp(this);
    this.#giveUp = giveUp;
    // A client that closes its sending side has most probably left; one that has not is told at least.
    this.socket.once('end', giveUp);
    exchange.response.once('timeout', giveUp);
    if (hasBody(exchange.request)) this.socket.pause();
  }

  refuse(): void {
    this.#stopWaiting();
    const [exchange] = this.#exchanges;
    if (exchange !== undefined) this.server.turnAway(exchange);
  }

  close(): void {
    this.socket.destroy();
  }

  /** The socket is closed. */
  end(): void {
    this.#isClosed = true;
    this.#stopWaiting();
    this.#closing?.abort();
    // Node says nothing of answers that have not had their turn.
    for (const exchange of this.#exchanges) this.watcher?.end(exchange);
    this.watcher?.close();
  }

  #begin(): void {
    const [exchange] = this.#exchanges;
    if (exchange !== undefined) this.server.answer(exchange);
  }

  #stopWaiting(): void {
    if (this.#giveUp === undefined) return;
    this.socket.off('end', this.#giveUp);
    this.#exchanges[0]?.response.off('timeout', this.#giveUp);
    this.#giveUp = undefined;
    this.socket.resume();
  }
}
