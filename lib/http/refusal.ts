import type { Duplex } from 'node:stream';
import { ServiceError, systemCode } from '../errors.js';
import { lingerLimits } from './linger.js';
import { errorBody } from './reply.js';

/** The error of Node's for a request that has not arrived in time. */
export const requestTimeout = 'ERR_HTTP_REQUEST_TIMEOUT';
/** The one for a header that is larger than 15 KiB, its request line included. */
const headerOverflow = 'HPE_HEADER_OVERFLOW';
/** What it is when all of that is request line. */
const targetOverflow = 'TARGET_OVERFLOW';

/** Why a request could not be read, as `refuseBytes` takes it. @param error of Node's parser or a socket */
export function reasonOf(error: Error): string | undefined {
  const code = systemCode(error);
  if (code !== headerOverflow || !('rawPacket' in error) || !Buffer.isBuffer(error.rawPacket)) return code;
  // The bytes that came last: they show what it was where they begin with the request.
  const isTarget = /^[A-Z]+ [^\s]{8192}/.test(error.rawPacket.toString('latin1'));
  return isTarget ? targetOverflow : code;
}

interface Refusal {
  /** Status and phrase. */
  readonly status: string;
  readonly error: ServiceError;
}

function refusalOf(reason: string | undefined, words: string): Refusal {
  switch (reason) {
    case requestTimeout:
      return {
        status: '408 Request Timeout',
        error: new ServiceError('TIMEOUT', 'The request did not arrive in time'),
      };
    case targetOverflow:
      return { status: '414 URI Too Long', error: new ServiceError('URL_TOO_LONG', 'The URL is too long') };
    case headerOverflow: {
      const error = new ServiceError('HEADER_TOO_LARGE', 'The header of the request is too large');
      return { status: '431 Request Header Fields Too Large', error };
    }
    default:
      return {
        status: '400 Bad Request',
        error: new ServiceError('BAD_REQUEST', `Not a valid HTTP request: ${words}`),
      };
  }
}

/**
 * Answers what is no request, or has not become one in time, and closes the connection.
 * @param reason as `reasonOf` gives it
 * @param words the error's message
 */
export function refuseBytes(socket: Duplex, reason: string | undefined, words: string): void {
  const { status, error } = refusalOf(reason, words);
  const body = errorBody(error);
  const head = `Content-Type: application/json\r\nContent-Length: ${Buffer.byteLength(body)}\r\nConnection: close`;
  socket.end(`HTTP/1.1 ${status}\r\n${head}\r\n\r\n${body}`);
  // The client may be sending still, and has to see the answer before the connection is gone.
  const linger = setTimeout(() => socket.destroy(), lingerLimits.idle).unref();
  socket.once('close', () => clearTimeout(linger));
}
