import { ServiceError } from '../errors.js';

/** What a download URL may be, in words. */
export const allowed = 'an http://, https:// or ftp:// URL with a host';

function refuse(message: string): never {
  throw new ServiceError('BAD_REQUEST', message);
}

/**
 * Reads and checks the URL of a download.
 * @throws ServiceError BAD_REQUEST for anything but http, https or ftp with a host, and for an ftp URL that names no
 * file; the message does not repeat the URL, which may hold a password
 */
export function checkDownloadUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // The URL standard reads `http:host` and `http:///host` as `http://host`; whoever wrote that meant something else.
  if (!url || !/^(?:https?|ftp):\/\/[^/\\?#]/i.test(text)) {
    return refuse(`This download URL is not allowed: it must be ${allowed}`);
  }
  let credentials: string | undefined;
  try {
    credentials = credentialsOf(url);
  } catch {
    return refuse('The user or password of the download URL has a malformed % encoding');
  }
  if (url.protocol === 'ftp:') checkFtp(url, credentials ?? '');
  return url;
}

function checkFtp(url: URL, credentials: string): void {
  let path: string;
  try {
    path = ftpPathOf(url);
  } catch {
    return refuse('The path of the download URL has a malformed % encoding');
  }
  // RFC 959 5.3: these end a command, and the next one would be the URL's.
  if (/[\r\n\0]/.test(path + credentials)) {
    refuse('An ftp:// download URL is not allowed with line ends or NUL in its path, user or password');
  }
  if (path === '' || path.endsWith('/')) refuse('An ftp:// download URL must name a file, not a folder');
  if (url.search !== '') refuse('An ftp:// download URL has no query; a ? in a file name is written %3F');
}

/** The path of an ftp URL, decoded; it begins where the login leads to (RFC 1738 3.2.2). @throws URIError */
export function ftpPathOf(url: URL): string {
  return decodeURIComponent(url.pathname.slice(1));
}

/** The last segment of the path, decoded and not checked as a file name; undefined when it is empty or malformed. */
export function fileNameOf(url: URL): string | undefined {
  try {
    return decodeURIComponent(url.pathname.slice(url.pathname.lastIndexOf('/') + 1)) || undefined;
  } catch {
    return undefined;
  }
}

/** A URL as it may be shown and logged: without user and password. */
export function withoutCredentials(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // What names no host is cut without understanding it: too much rather than too little.
  if (!url?.host) return text.replace(/^([a-z][a-z0-9+.-]*:\/\/)?.*@/is, '$1');
  if (url.username === '' && url.password === '') return text;
  url.username = '';
  url.password = '';
  return url.href;
}

/** `user:password`, decoded, of a URL that `checkDownloadUrl` has passed; undefined when it has neither. */
export function credentialsOf(url: URL): string | undefined {
  if (url.username === '' && url.password === '') return undefined;
  return `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
}
