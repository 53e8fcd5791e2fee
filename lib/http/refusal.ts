import type { Duplex } from 'node:stream';
import { ServiceError } from '../errors.js';
import { lingerLimits } from './linger.js';
import { errorBody } from './reply.js';

const reasons: Record<number, string> = { 400: 'Bad Request', 408: 'Request Timeout', 431: 'Header Too Large' };

/** The error of Node's for a request that has not arrived in time. */
export const requestTimeout = 'ERR_HTTP_REQUEST_TIMEOUT';

/**
 * Answers what is no request, or has not become one in time, and closes the connection.
 * @param reason the error's code
 * @param words the error's message
 */
export function refuseBytes(socket: Duplex, reason: string | undefined, words: string): void {
  const isLate = reason === requestTimeout;
  const status = isLate ? 408 : reason === 'HPE_HEADER_OVERFLOW' ? 431 : 400;
  const body = errorBody(
    isLate
      ? new ServiceError('TIMEOUT', 'The request did not arrive in time')
      : new ServiceError('BAD_REQUEST', `Not a valid HTTP request: ${words}`),
  );
  const head = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status} ${reasons[status] ?? ''}\r\n${head}\r\n\r\n${body}`);
  // The client may be sending still, and has to see the answer before the connection is gone.
  const linger = setTimeout(() => socket.destroy(), lingerLimits.idle).unref();
  socket.once('close', () => clearTimeout(linger));
}
