/** What says who gets what from the service, or sends it, at the moment. */
export interface Transfer {
  /** A client's file on its way into a store, an ISO that the service fetches, or a file on its way to a machine. */
  readonly direction: 'upload' | 'download' | 'send';
  /** The far end's address; of a download its host. */
  readonly client: string;
  /** `name/version` of the image that it belongs to. */
  readonly image?: string | undefined;
  /** The file's name in the store, or its URL path. */
  readonly file: string;
  /** Bytes so far. */
  readonly bytes: number;
  /** Bytes of all of it, where that is known. */
  readonly total?: number | undefined;
  /** Bytes a second at the moment. */
  readonly rate: number;
  /** Since when, in milliseconds of the epoch. */
  readonly since: number;
}

/** The most transfers that are told of by name; the others are only counted. */
export const mostTransfers = 100;

/** The longest ones of these, the longest first. */
export function longest<T extends { readonly since: number }>(transfers: readonly T[]): T[] {
  return [...transfers].sort((a, b) => a.since - b.since).slice(0, mostTransfers);
}

/** What a process that serves has to tell: sums of what is new since its last report, and how it is at the moment. */
export interface Report {
  readonly requests: readonly (readonly [route: string, status: number, count: number])[];
  /** Bytes of answers with files; the item is an image's `name/version`. */
  readonly sent: readonly (readonly [route: string, item: string | undefined, bytes: number])[];
  /** Lines of the access log. */
  readonly lines: readonly string[];
  /** Seconds of processor time. */
  readonly processor: number;
  /** Seconds that the event loop was late, at the most. */
  readonly lag: number;
  /** Bytes of memory that the process has now. */
  readonly memory: number;
  /** Connections that are open now. */
  readonly connections: number;
  /** How many transfers go on now, and the longest of them. */
  readonly sending: number;
  readonly transfers: readonly Transfer[];
}
