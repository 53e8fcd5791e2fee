import type { Socket } from 'node:net';
import { hasBody } from '../http/exchange.js';
import type { Watched, Watcher } from '../http/watch.js';
import { accessLine } from './access-line.js';
import type { Session, Sessions } from './sessions.js';
import type { Tally } from './tally.js';

/** Where what happens on all connections of a process comes together. */
export interface Ledger {
  readonly tally: Tally;
  readonly sessions: Sessions;
  /** Is given lines of the access log; undefined: nobody wants them. */
  readonly line: ((line: string) => void) | undefined;
  leave(watcher: ConnectionWatcher): void;
}

/** As nginx calls it: the client had gone before its answer had begun. */
const clientGone = 499;

function statusOf({ response }: Watched): number {
  return response.headersSent ? response.statusCode : clientGone;
}

/** An address as people write it, also where IPv4 comes to a socket of IPv6 (RFC 4291 2.5.5.2). */
function addressOf({ remoteAddress = 'gone' }: Socket): string {
  return remoteAddress.startsWith('::ffff:') ? remoteAddress.slice(7) : remoteAddress;
}

/** Counts what happens on one connection. */
export class ConnectionWatcher implements Watcher {
  readonly client: string;
  readonly #open: Watched[] = [];
  /** Bytes of the answer under way that are counted already. */
  #counted = 0;
  /** Bytes that had been read from the connection when the last request ended. */
  #readBefore = 0;
  #session: Session | undefined;
  /** Requests of the session that came by this connection. */
  #uses = 0;

  constructor(
    private readonly socket: Socket,
    private readonly ledger: Ledger,
  ) {
    this.client = addressOf(socket);
  }

  begin(exchange: Watched): void {
    this.#open.push(exchange);
  }

  end(exchange: Watched): void {
    const index = this.#open.indexOf(exchange);
    if (index < 0) return;
    const { bodyBytes } = exchange.response;
    const status = statusOf(exchange);
    const { subject } = exchange;
    this.ledger.tally.add(subject, status, index === 0 ? bodyBytes - this.#counted : bodyBytes);
    if (index === 0) this.#counted = 0;
    if (index === 0) this.#open.shift();
    else this.#open.splice(index, 1);
    if (subject?.hasFiles === true) this.#read(exchange, status, subject.item);
    else this.#tell(exchange, status);
  }

  close(): void {
    this.#leave(true);
    this.ledger.leave(this);
  }

  /** Counts, and shows, what is under way. */
  look(): void {
    const [exchange] = this.#open;
    if (exchange === undefined) return;
    const { subject, response } = exchange;
    this.ledger.tally.addBytes(subject, response.bodyBytes - this.#counted);
    this.#counted = response.bodyBytes;
    if (subject?.hasFiles === true) this.#sessionOf(exchange).see(response.bodyBytes, subject.item);
  }

  #read(exchange: Watched, status: number, item: string | undefined): void {
    const session = this.#sessionOf(exchange);
    this.#uses++;
    const { request, response } = exchange;
    session.add({ method: request.method ?? '', status, bytes: response.bodyBytes, item }, performance.now());
  }

  #sessionOf({ request: { url = '/' }, began }: Watched): Session {
    if (this.#session?.isEnded === false && this.#session.target === url) return this.#session;
    const session = this.ledger.sessions.at(this.client, url, began);
    if (session === this.#session) return session;
    this.#leave(false);
    session.holders++;
    this.#session = session;
    this.#uses = 0;
    return session;
  }

  /** Of a file that was read whole nothing more will come; who reads by ranges may go to and fro between files. */
  #leave(isClosing: boolean): void {
    const session = this.#session;
    if (session === undefined) return;
    session.holders--;
    // Some have a connection for each range, and would have a line for each.
    const isOver = !session.isRanged || (isClosing && this.#uses > 1);
    if (session.holders === 0 && isOver) this.ledger.sessions.end(session);
  }

  #tell(exchange: Watched, status: number): void {
    const received = this.#received(exchange);
    const { line } = this.ledger;
    if (line === undefined) return;
    const { request, response, began } = exchange;
    line(
      accessLine({
        client: this.client,
        method: request.method ?? '',
        target: request.url ?? '/',
        status,
        bytes: received ?? response.bodyBytes,
        milliseconds: performance.now() - began,
        requests: 1,
      }),
    );
  }

  /** Bytes that have come of a request's body; undefined for a request without one. */
  #received({ request }: Watched): number | undefined {
    const { bytesRead } = this.socket;
    const read = bytesRead - this.#readBefore;
    this.#readBefore = bytesRead;
    if (!hasBody(request)) return undefined;
    // The header was read with it.
    return Math.min(read, Number(request.headers['content-length'] ?? Infinity));
  }
}
