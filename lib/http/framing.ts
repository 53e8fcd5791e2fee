import type { IncomingMessage } from 'node:http';
import { type ErrorCode, ServiceError } from '../errors.js';

function countHosts({ rawHeaders }: IncomingMessage): number {
  let hosts = 0;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] ?? '';
    if (name.length === 4 && name.toLowerCase() === 'host') hosts += 1;
  }
  return hosts;
}

/** No client sends as many; Node leaves out what is beyond a thousand. */
const maxHeaders = 200;

/**
 * What Node accepts and RFC 9112 (3.2, 6.1) does not: doors for request smuggling through a proxy.
 * @param broken is called first when the bytes that follow cannot be trusted to be a request
 * @throws ServiceError BAD_REQUEST, HEADER_TOO_LARGE, NOT_IMPLEMENTED, and EXPECTATION_FAILED (RFC 9110 10.1.1)
 */
export function checkFraming(request: IncomingMessage, broken: () => void): void {
  const refuse = (code: ErrorCode, message: string): never => {
    broken();
    throw new ServiceError(code, message);
  };
  const { headers, rawHeaders, httpVersion } = request;
  if (rawHeaders.length > 2 * maxHeaders) refuse('HEADER_TOO_LARGE', `The request has more than ${maxHeaders} headers`);
  const hosts = countHosts(request);
  if (hosts > 1) refuse('BAD_REQUEST', 'The request has two Host headers');
  if (hosts === 0 && httpVersion === '1.1') refuse('BAD_REQUEST', 'The request has no Host header');
  const coding = headers['transfer-encoding'];
  if (coding !== undefined && httpVersion === '1.0') refuse('BAD_REQUEST', 'HTTP/1.0 has no Transfer-Encoding');
  if (coding !== undefined && coding.trim().toLowerCase() !== 'chunked') {
    refuse('NOT_IMPLEMENTED', `Transfer-Encoding ${coding} is not known here; allowed: chunked`);
  }
  const { expect } = headers;
  if (expect !== undefined && httpVersion === '1.1' && expect.trim().toLowerCase() !== '100-continue') {
    throw new ServiceError('EXPECTATION_FAILED', `Expect ${expect} is not known here; allowed: 100-continue`);
  }
}
