import { type IncomingMessage, type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from 'node:http';

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];
type Chunk = string | Uint8Array;
type Written = (error?: Error | null) => void;

/** An answer that knows how many bytes its body has by now. */
export class CountingResponse<Request extends IncomingMessage = IncomingMessage> extends ServerResponse<Request> {
  /** Bytes of the body that have been given to the connection, sent or not; of chunks only what is in them. */
  bodyBytes = 0;

  override write(chunk: Chunk, encoding?: BufferEncoding | Written, callback?: Written): boolean {
    this.#count(chunk);
    return typeof encoding === 'string' ? super.write(chunk, encoding, callback) : super.write(chunk, encoding);
  }

  override end(chunk?: Chunk | (() => void), encoding?: BufferEncoding | (() => void), callback?: () => void): this {
    if (chunk === undefined || typeof chunk === 'function') return super.end(chunk);
    this.#count(chunk);
    return typeof encoding === 'string' ? super.end(chunk, encoding, callback) : super.end(chunk, encoding);
  }

  #count(chunk: Chunk): void {
    this.bodyBytes += typeof chunk === 'string' ? Buffer.byteLength(chunk) : chunk.length;
  }
}

/**
 * The class of a server's answers: they say `Connection: close` when, at the moment when their header goes out, each one
 * is to be the last one of its connection.
 */
export function responseClass(isLast: () => boolean): typeof CountingResponse {
  return class<Request extends IncomingMessage> extends CountingResponse<Request> {
    override writeHead(status: number, reason?: string | Headers, headers?: Headers): this {
      if (isLast()) this.shouldKeepAlive = false;
      return typeof reason === 'string'
        ? super.writeHead(status, reason, headers)
        : super.writeHead(status, reason ?? headers);
    }
  };
}
