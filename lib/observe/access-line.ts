/** A request, or several of one client for one file, as the access log tells of them. */
export interface Access {
  readonly client: string;
  readonly method: string;
  /** As it came. */
  readonly target: string;
  readonly status: number;
  readonly bytes: number;
  readonly milliseconds: number;
  readonly requests: number;
}

/** Characters of a target that are shown at the most. */
const mostShown = 2000;

/** A target without what may be secret: not the query, which can have the URL of a download in it, nor a user's name. */
export function shownTarget(target: string): string {
  const mark = target.indexOf('?');
  const path = mark < 0 ? target : `${target.slice(0, mark)}?…`;
  // In absolute form, as to a proxy (RFC 9112 3.2.2).
  const open = path.startsWith('/') ? path : path.replace(/^([^/]*:\/\/)?[^/]*@/, '$1');
  return open.length > mostShown ? `${open.slice(0, mostShown)}…` : open;
}

/** A line of the access log: client, method, path, status, bytes, milliseconds, and how many requests if several. */
export function accessLine({ client, method, target, status, bytes, milliseconds, requests }: Access): string {
  const several = requests > 1 ? ` ${requests} requests` : '';
  return `${client} ${method} ${shownTarget(target)} ${status} ${bytes} bytes ${Math.round(milliseconds)} ms${several}`;
}
