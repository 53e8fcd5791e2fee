import type { Application, Exchange } from '../http/exchange.js';
import { onlyFor } from '../http/address-filter.js';
import { ChunkCache } from '../http/chunks.js';
import { crossOrigin } from '../http/cross-origin.js';
import { sendFile } from '../http/file.js';
import { listingFormat, listingHeaders, renderListing } from '../http/listing.js';
import type { Rates } from '../http/pace.js';
import { send } from '../http/reply.js';
import { answerMethod } from '../http/router.js';
import { sendPieces } from '../http/send-pieces.js';
import { ServiceError } from '../errors.js';
import { encodePath } from '../path.js';
import type { FolderNode, OpenFile } from '../tree.js';
import { BootFiles, type BootOptions } from './boot-files.js';
import { UrlSpace, type UrlSpaceOptions } from './url-space.js';

export interface SouthboundOptions extends UrlSpaceOptions {
  /** What is said in menus and recipes. */
  readonly boot: BootOptions;
  /** The URL path below which everything lies: begins and ends with a slash. */
  readonly apiRoot: string;
  /** Bytes of files that are kept in memory for whoever asks next. */
  readonly chunkCache: number;
  /** Networks whose machines are answered; undefined: any. */
  readonly allow?: readonly string[] | undefined;
  /** As fast as they take it, where it is left out. */
  readonly rates?: Rates | undefined;
}

const allow = 'GET, HEAD, OPTIONS';

async function sendFolder(exchange: Exchange, node: FolderNode, path: readonly string[]): Promise<void> {
  const { request, query } = exchange;
  if (!exchange.endsWithSlash && exchange.path.length > 0) {
    // Relative to this URL, so that it holds behind a proxy; `./` because a name may look like a scheme.
    const location = `.${encodePath(exchange.path.slice(-1))}/${exchange.search}`;
    send(exchange, 301, 'text/plain; charset=utf-8', 'A folder ends with a slash\n', { Location: location });
    return;
  }
  const format = listingFormat(request.headers.accept, query.get('format') ?? undefined);
  const { type, pieces } = renderListing(format, path, await node.list());
  await sendPieces(exchange, type, pieces, listingHeaders(format));
}

const nothing = () => new ServiceError('NOT_FOUND', 'There is nothing at this URL');

/** Sends files, with what all answers of the process share. */
class FileSender {
  readonly #chunks: ChunkCache;
  readonly #rates: Rates | undefined;

  constructor({ chunkCache, rates }: SouthboundOptions) {
    this.#chunks = new ChunkCache(chunkCache);
    this.#rates = rates;
  }

  async send(exchange: Exchange, file: OpenFile, name: string): Promise<void> {
    const pace = this.#rates?.paceOf(exchange.request.socket.remoteAddress ?? '');
    try {
      await sendFile(exchange, file, name, { chunks: this.#chunks, pace });
    } finally {
      pace?.release();
    }
  }
}

/** The file server: GET and HEAD of one tree made of a folder and the images. */
export function createSouthbound(options: SouthboundOptions): Application {
  const space = new UrlSpace(options);
  const made = new BootFiles(space, options);
  const sender = new FileSender(options);
  const prefix = options.apiRoot.split('/').filter((segment) => segment !== '');
  const serve: Application = async (exchange) => {
    if (!prefix.every((segment, index) => exchange.path[index] === segment)) return false;
    const { method } = exchange.request;
    if (method !== 'GET' && method !== 'HEAD') {
      answerMethod(exchange, allow);
      return true;
    }
    const path = exchange.path.slice(prefix.length);
    const node = (await space.lookup(path, exchange)) ?? (await made.serve(exchange, path));
    if (node === true) return true;
    if (node === false) throw nothing();
    if (node.type === 'folder') await sendFolder(exchange, node, path);
    else if (!exchange.endsWithSlash) await sender.send(exchange, node.file, path.at(-1) ?? '');
    else {
      await node.file.close();
      throw nothing();
    }
    return true;
  };
  return crossOrigin(
    { isReadOnly: true },
    onlyFor(() => options.allow, serve),
  );
}
