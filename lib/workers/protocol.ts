import type { Fact } from '../images/facts.js';
import type { Level } from '../log.js';
import type { Place } from '../images/facts.js';

/** What a worker has to know once. Sizes and rates are its share. */
export interface WorkerSetup {
  /** Of every socket whose connections it gets. */
  readonly httpTimeout: number;
  readonly maxConnections: number;
  readonly rateLimit: number;
  readonly chunkCache: number;
  readonly southboundWait: number;
  readonly apiRoot: string;
  readonly httpFileServiceRootDir: string;
  readonly inventoryFile: string;
  /** Real path of each store. */
  readonly stores: Readonly<Record<Place, string>>;
  readonly minLogLevel: number;
  readonly user: string | undefined;
  /** What the user has to be able to read, by setting. */
  readonly folders: Readonly<Record<string, string>>;
}

/** From the main process to a worker. `ask` is the number of a question, which its answer has too. */
export type ToWorker =
  | { readonly type: 'start'; readonly setup: WorkerSetup }
  | { readonly type: 'tell'; readonly ask: number; readonly fact: Fact }
  /** Comes with a socket. */
  | { readonly type: 'connection' }
  | { readonly type: 'checksums'; readonly ask: number; readonly failure?: string }
  /** Lets requests in flight go on for so many milliseconds. */
  | { readonly type: 'stop'; readonly timeout: number };

/** From a worker to the main process. */
export type FromWorker =
  /** It can serve; `warning`: why it is root still. */
  | { readonly type: 'ready'; readonly warning?: string | undefined }
  | { readonly type: 'failed'; readonly message: string }
  | { readonly type: 'told'; readonly ask: number; readonly failure?: string | undefined }
  | { readonly type: 'log'; readonly level: Level; readonly message: string }
  /** A connection has arrived. */
  | { readonly type: 'accepted' }
  /** So many have ended. */
  | { readonly type: 'closed'; readonly count: number }
  /** Wants the list of digests of a store brought up to date. */
  | { readonly type: 'checksums'; readonly ask: number; readonly place: Place };
