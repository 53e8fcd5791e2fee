import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';

/** What tells whether the far end still has the same file. */
export interface Origin {
  /** An entity tag that is strong, or a Last-Modified date; for ftp its modification time. Undefined: the file cannot be continued. */
  readonly validator: string | undefined;
  /** Bytes of the whole file, when the far end says so. */
  readonly length: number | undefined;
}

/** Where to go on in a file of which there are bytes already. */
export interface Continuation {
  /** Bytes, more than 0. */
  readonly offset: number;
  readonly origin: Origin & { readonly validator: string };
}

/** The answer of a far end. Whoever receives it reads `body` to its end or destroys it. */
export interface Opened {
  /**
   * Ends when the file is complete; fails with ServiceError BAD_GATEWAY when it ends early or exceeds its length, and
   * GATEWAY_TIMEOUT when the far end falls silent.
   */
  readonly body: Readable;
  readonly origin: Origin;
  /** Where in the file the body begins, in bytes: where it was asked to, or 0 when the far end starts over. */
  readonly offset: number;
}

export interface FarEndOptions {
  /** Ends the download: what waits and what is read from then on fails with an error named AbortError. */
  readonly signal: AbortSignal;
  /** Milliseconds without a byte, before or within the body, after which the far end counts as silent. */
  readonly idleTimeout: number;
  /** The hosts that a download may come from, as `isoWebHosts` has them; undefined: any. */
  readonly hosts?: readonly string[] | undefined;
  /** PEM certificates that https trusts in place of Node's own. */
  readonly ca?: readonly string[] | undefined;
  /** Resolves host names; Node's own unless given. */
  readonly lookup?: LookupFunction | undefined;
}
