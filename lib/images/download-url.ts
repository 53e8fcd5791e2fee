import { ServiceError } from '../errors.js';

/** What a download URL may be, in words. */
export const allowed = 'an http:// or https:// URL with a host';

/**
 * Reads and checks the URL of a download.
 * @throws ServiceError BAD_REQUEST for anything but http or https with a host; the message does not repeat the URL,
 * which may hold a password
 */
export function checkDownloadUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // The URL standard reads `http:host` and `http:///host` as `http://host`; whoever wrote that meant something else.
  if (!url || !/^https?:\/\/[^/\\?#]/i.test(text)) {
    throw new ServiceError('BAD_REQUEST', `This download URL is not allowed: it must be ${allowed}`);
  }
  try {
    credentialsOf(url);
  } catch {
    throw new ServiceError('BAD_REQUEST', 'The user or password of the download URL has a malformed % encoding');
  }
  return url;
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
