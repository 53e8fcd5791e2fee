import type { IncomingMessage } from 'node:http';

/** How long an unwanted body is read on and thrown away, in milliseconds: in all, and without a byte. */
export const lingerLimits = { total: 30_000, idle: 5_000 };

/**
 * Reads the rest of a request's body and discards it, within bounds, until its end or the end of the connection.
 *
 * A client that still sends when the server closes gets a reset and never sees the answer: wget, urllib and
 * http.client report a broken pipe instead of the status. Never rejects.
 */
export function discardBody(request: IncomingMessage, limits = lingerLimits): Promise<void> {
  // Whatever was reading it has given up.
  request.unpipe();
  if (request.readableEnded || request.complete || request.destroyed) {
    request.resume();
    return Promise.resolve();
  }
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(total);
      clearTimeout(idle);
      request.off('data', more).off('end', done).off('error', done).off('close', done);
      resolve();
    };
    const total = setTimeout(done, limits.total);
    const idle = setTimeout(done, limits.idle);
    const more = () => idle.refresh();
    request.on('data', more).on('end', done).on('error', done).on('close', done);
    request.resume();
  });
}
