import type { Socket } from 'node:net';
import type { Exchange } from './exchange.js';
import type { CountingResponse } from './response.js';

/** A request, for those who count and measure. */
export interface Watched extends Exchange {
  readonly response: CountingResponse;
  /** When its header had arrived, in milliseconds of `performance.now()`. */
  readonly began: number;
}

/** Is told what happens on one connection. It is called for each request, so it has to be quick, and must not throw. */
export interface Watcher {
  /** A request has come; those before it may not be answered yet. */
  begin(exchange: Watched): void;
  /** Its answer is out, or will never be. */
  end(exchange: Watched): void;
  /** The connection is closed, and every request of it has ended. */
  close(): void;
}

/** Is told of each new connection. */
export type Watch = (socket: Socket) => Watcher;
