import type { TlsTexts } from '../http/tls.js';
import type { Fact, Place } from '../images/facts.js';
import type { Level } from '../log.js';
import type { Report } from '../observe/report.js';

/** What a worker goes by that can change. */
export interface WorkerSettings {
  readonly minLogLevel: number;
  readonly southboundWait: number;
  /** Networks in CIDR notation; undefined: any. */
  readonly southboundAllow: readonly string[] | undefined;
  /** Bytes a second that one client address gets from all workers together; 0: no limit. */
  readonly rateLimit: number;
  /** As in the configuration. */
  readonly publicUrl: string | undefined;
  readonly bootDefault: string | undefined;
  readonly bootTimeout: number;
}

/** What a worker has to know at its start. Sizes are its share. */
export interface WorkerSetup extends WorkerSettings {
  readonly httpTimeout: number;
  readonly maxConnections: number;
  readonly chunkCache: number;
  readonly apiRoot: string;
  readonly httpFileServiceRootDir: string;
  readonly inventoryFile: string;
  /** Real path of each store. */
  readonly stores: Readonly<Record<Place, string>>;
  readonly user: string | undefined;
  /** What the user has to be able to read, by setting. */
  readonly folders: Readonly<Record<string, string>>;
}

/** What the main process asks a worker. */
export type ToDo =
  | { readonly type: 'tell'; readonly fact: Fact }
  /** Go by these from now on. */
  | { readonly type: 'settings'; readonly settings: WorkerSettings }
  /** Comes with a bound socket, of which it takes connections from now on; by https, where there is `tls`. */
  | { readonly type: 'listen'; readonly name: string; readonly tls?: TlsTexts | undefined }
  /** What a port proves itself with is another one from now on. */
  | { readonly type: 'renew'; readonly name: string; readonly tls: TlsTexts }
  /** Whether it still answers. */
  | { readonly type: 'ping' };

/** What a worker asks the main process. */
export type Question =
  /** Wants the list of digests of a store brought up to date. */
  | { readonly type: 'checksums'; readonly place: Place }
  /** Wants to send so many bytes to an address: answered when they may go out. */
  | { readonly type: 'pace'; readonly address: string; readonly bytes: number };

/** Ends a question of this number: well, or with what went wrong in words. */
interface Answer {
  readonly type: 'answer';
  readonly ask: number;
  readonly failure?: string | undefined;
}

/** From the main process to a worker. */
export type ToWorker =
  | { readonly type: 'start'; readonly setup: WorkerSetup }
  | { readonly type: 'do'; readonly ask: number; readonly what: ToDo }
  | Answer
  /** Lets requests in flight go on for so many milliseconds. */
  | { readonly type: 'stop'; readonly timeout: number };

/** From a worker to the main process. */
export type FromWorker =
  /** It can serve; `warning`: why it is root still. */
  | { readonly type: 'ready'; readonly warning?: string | undefined }
  | { readonly type: 'failed'; readonly message: string }
  | Answer
  | { readonly type: 'question'; readonly ask: number; readonly what: Question }
  /** It wants nothing of this question any more, and still gets its answer. */
  | { readonly type: 'withdraw'; readonly ask: number }
  | { readonly type: 'report'; readonly report: Report }
  | { readonly type: 'log'; readonly level: Level; readonly message: string };
