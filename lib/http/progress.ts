import type { ServiceError } from '../errors.js';
import type { Exchange } from './exchange.js';
import { discardBody } from './linger.js';

/**
 * The documented answer to an upload, written while the body arrives: `Uploaded 10 %` … `Uploaded 100 %`, then
 * `Upload finished!`. Its header goes out with the first line, so that an earlier failure keeps its true status.
 *
 * Nothing here waits for the client to read: one that sends everything first, as wget does, would wait for us in turn.
 */
export class UploadProgress {
  #tenths = 0;

  /**
   * @param length bytes of the body; undefined leaves the percentages out. So does HTTP/1.0, which has no chunks: there
   * a failure could not be told after the header has gone.
   */
  constructor(
    readonly exchange: Exchange,
    readonly length: number | undefined,
  ) {}

  /** @param received bytes so far */
  advance(received: number): void {
    if (this.length === undefined || this.exchange.request.httpVersion === '1.0') return;
    for (const reached = Math.floor((received * 10) / this.length); this.#tenths < reached;) {
      this.#tenths += 1;
      this.#line(`Uploaded ${this.#tenths * 10} %`);
    }
  }

  /** Call it when the file is safely in its place. */
  finish(): void {
    this.#line('Upload finished!');
    this.exchange.response.end();
  }

  /**
   * Tells a failure after the header has gone: the last line says why, the rest of the body is discarded, and the
   * connection is cut without the chunk that ends an answer. Ended cleanly, every client would report success.
   */
  async fail(error: ServiceError): Promise<void> {
    const { request, response, closed } = this.exchange;
    const told = new Promise<void>((resolve) => {
      response.write(`Upload failed: ${error.message}\n`, () => resolve());
      closed.addEventListener('abort', () => resolve(), { once: true });
    });
    await discardBody(request);
    await told;
    response.destroy();
  }

  #line(text: string): void {
    const { response } = this.exchange;
    if (!response.headersSent) {
      response.writeHead(200, {
        'Content-Type': 'text/plain; charset=utf-8',
        'Cache-Control': 'no-store',
        // nginx in front would keep the lines to itself until the end.
        'X-Accel-Buffering': 'no',
      });
    }
    response.write(`${text}\n`);
  }
}
