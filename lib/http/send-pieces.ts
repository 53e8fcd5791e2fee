import { once } from 'node:events';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { ServiceError } from '../errors.js';
import type { Exchange } from './exchange.js';
import { send } from './reply.js';

/** Characters up to which a text goes out in one go, with its length. */
const atOnce = 64 * 1024;

/** Node leaves this out of the answer to a HEAD, which is to have the headers of a GET (RFC 9110 9.3.2). */
function framing({ method, httpVersion }: IncomingMessage): OutgoingHttpHeaders {
  return method === 'HEAD' && httpVersion === '1.1' ? { 'Transfer-Encoding': 'chunked' } : {};
}

/** Resolves when the client has taken enough of what came before. */
async function write(response: ServerResponse, text: string, closed: AbortSignal): Promise<void> {
  try {
    closed.throwIfAborted();
    if (!response.write(text)) await once(response, 'drain', { signal: closed });
  } catch (cause) {
    throw new ServiceError('TIMEOUT', 'The client closed the connection', { cause });
  }
}

/**
 * Answers 200 with a text that is made while it is sent: a short one with its length, a long one chunked (RFC 9112
 * 7.1), at the client's pace. HEAD gets the same headers and no body. No more pieces are asked for once the client has
 * left; when they fail under way the connection is cut.
 */
export async function sendPieces(
  exchange: Exchange,
  type: string,
  pieces: AsyncIterable<string>,
  headers: OutgoingHttpHeaders,
): Promise<void> {
  const { request, response, closed } = exchange;
  let text = '';
  for await (const piece of pieces) {
    text += piece;
    if (text.length < atOnce) continue;
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': type, ...framing(request), ...headers });
    if (request.method === 'HEAD') break;
    await write(response, text, closed);
    text = '';
  }
  if (!response.headersSent) send(exchange, 200, type, text, headers);
  else response.end(request.method === 'HEAD' ? '' : text);
}
