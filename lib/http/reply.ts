import { createHash } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import { type ErrorCode, type ServiceError, publicError } from '../errors.js';
import type { Log } from '../log.js';
import { type Exchange, hasBody } from './exchange.js';
import { discardBody } from './linger.js';

const statuses: Record<ErrorCode, number> = {
  BAD_REQUEST: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  TIMEOUT: 408,
  EXISTS: 409,
  BUSY: 409,
  IN_USE: 409,
  OFFSET: 409,
  LENGTH_REQUIRED: 411,
  TOO_LARGE: 413,
  URL_TOO_LONG: 414,
  HEADER_TOO_LARGE: 431,
  UNSUPPORTED_MEDIA_TYPE: 415,
  EXPECTATION_FAILED: 417,
  DIGEST_MISMATCH: 422,
  NOT_AN_ISO: 422,
  TRUNCATED: 422,
  BROKEN_ISO: 422,
  UNSUPPORTED_ISO: 422,
  TOO_MANY_REQUESTS: 429,
  INTERNAL: 500,
  NOT_IMPLEMENTED: 501,
  BAD_GATEWAY: 502,
  UNAVAILABLE: 503,
  GATEWAY_TIMEOUT: 504,
  NO_SPACE: 507,
};

/** Seconds after which a client that was told to come later may ask again: iPXE and package managers honour it. */
const retryAfter = 5;
const later: ReadonlySet<ErrorCode> = new Set(['UNAVAILABLE', 'BUSY']);

/**
 * The headers of a page of ours (Content Security Policy Level 3): what a name in it smuggles in is neither run nor shown
 * as style, nothing is fetched, and no other page has it in a frame.
 * @param style the text of its one style element
 */
export function pageHeaders(style: string): Record<string, string> {
  const hash = createHash('sha256').update(style).digest('base64');
  const closed = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  return {
    'Content-Security-Policy': `${closed}; style-src 'sha256-${hash}'`,
    'X-Frame-Options': 'DENY',
    // Not `no-referrer`: a form of a page of ours would be sent with `Origin: null`, as if it came from anywhere.
    'Referrer-Policy': 'same-origin',
  };
}

/**
 * Answers with a complete body of known length. HEAD gets the same headers and no body.
 *
 * When the request's body is still on its way, the complete answer goes out at once, and the body is read on and
 * discarded before the connection closes: only so does every client see the status.
 */
export function send(
  exchange: Exchange,
  status: number,
  type: string,
  body: string,
  headers: OutgoingHttpHeaders = {},
): void {
  const bytes = Buffer.from(body);
  const { request, response } = exchange;
  const isArriving = hasBody(request) && !request.readableEnded;
  const close = isArriving ? { Connection: 'close' } : {};
  const content = { 'Content-Type': type, 'Content-Length': bytes.length, 'X-Content-Type-Options': 'nosniff' };
  response.writeHead(status, { ...content, ...close, ...headers });
  if (request.method !== 'HEAD') response.write(bytes);
  if (isArriving) void discardBody(request).then(() => response.end());
  else response.end();
}

/** Answers with a value as JSON. */
export function sendJson(exchange: Exchange, status: number, value: unknown, headers: OutgoingHttpHeaders = {}) {
  const text = `${JSON.stringify(value, null, 2)}\n`;
  send(exchange, status, 'application/json', text, { 'Cache-Control': 'no-store', ...headers });
}

/** The body of every answer that is an error. */
export function errorBody({ message, code }: ServiceError): string {
  return `${JSON.stringify({ message, code }, null, 2)}\n`;
}

/** Answers with an error. When the answer has begun already, the connection is cut, which the client notices. */
export function sendError(exchange: Exchange, error: unknown, log: Log): void {
  const shown = publicError(error, log.error);
  if (exchange.response.headersSent) {
    exchange.response.destroy();
    return;
  }
  send(exchange, statuses[shown.code], 'application/json', errorBody(shown), {
    'Cache-Control': 'no-store',
    ...(later.has(shown.code) && { 'Retry-After': retryAfter }),
  });
}
