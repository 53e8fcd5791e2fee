import type { IncomingMessage, ServerResponse } from 'node:http';
import { type ErrorCode, ServiceError } from '../errors.js';

/** What a request is about, for those who count: one object for all requests that have it in common. */
export interface Subject {
  /** One of few: never a path as it came. */
  readonly route: string;
  /** Which of the things that the route leads to, where these are few. */
  readonly item?: string;
  /** Whether it answers with files, which a client may read in thousands of ranges. */
  readonly hasFiles?: boolean;
}

/** One request and its answer. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** The path's decoded segments, none of them empty, `.` or `..`. */
  readonly path: readonly string[];
  /** Whether the path ended with a slash. */
  readonly endsWithSlash: boolean;
  /** The query as it came, with its `?`; empty when there is none. */
  readonly search: string;
  readonly query: URLSearchParams;
  /** Aborted when the connection is gone: also for a pipelined answer that has not got its turn yet. */
  readonly closed: AbortSignal;
  /** Set by the application that answers. */
  subject?: Subject;
  /** Set where an answer tells of an error whose header had gone out already, with another status. */
  failure?: ErrorCode;
}

/** Answers an exchange, or says false to leave it to the next one. What it throws is answered by its error code. */
export type Application = (exchange: Exchange) => Promise<boolean>;

/** Whether the request announces a body (RFC 9112 6.3). */
export function hasBody(request: IncomingMessage): boolean {
  const length = request.headers['content-length'];
  return request.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/**
 * Asks the client for the body that it holds back with `Expect: 100-continue`. Call it after every check.
 * @throws ServiceError BAD_REQUEST when the client has left: a stream that has closed already says so to nobody
 */
export function invite(exchange: Exchange): void {
  const { request, response } = exchange;
  if (request.destroyed && !request.complete) {
    throw new ServiceError('BAD_REQUEST', 'The client left before all of the body had arrived');
  }
  if (request.headers.expect !== undefined && request.httpVersion === '1.1') response.writeContinue();
}
