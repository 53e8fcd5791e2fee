import { ServiceError } from './errors.js';

const maxTargetLength = 8192;
const maxNameBytes = 255;
const maxShown = 60;

/** The path of a request, decoded. */
export interface UrlPath {
  readonly path: string[];
  readonly endsWithSlash: boolean;
}

/** Client input for a message: quoted, escaped, and no longer than an operator wants to read. */
export function quoted(value: string): string {
  return value.length > maxShown ? `${JSON.stringify(value.slice(0, maxShown))}…` : JSON.stringify(value);
}

function refuse(what: string, value: string, allowed: string): never {
  throw new ServiceError('BAD_REQUEST', `${what} ${quoted(value)} is not allowed: ${allowed}`);
}

// Not new URL(): it takes `//host/path` for a host, and resolves `%2e%2e` before anybody can refuse it.
function pathOf(target: string): string {
  if (target.length > maxTargetLength) {
    throw new ServiceError('URL_TOO_LONG', `The URL has more than ${maxTargetLength} characters`);
  }
  if (!/^[!-~]*$/.test(target)) refuse('The URL', target, 'anything but visible ASCII is percent-encoded');
  const absolute = target.startsWith('/') ? undefined : /^https?:\/\/[^/?#]*/i.exec(target)?.[0];
  const [relative = ''] = target.slice(absolute?.length ?? 0).split(/[?#]/, 1);
  if (absolute !== undefined && relative === '') return '/';
  if (!relative.startsWith('/')) refuse('The URL', target, 'a path that begins with /');
  return relative;
}

function decodeSegment(raw: string): string {
  let segment: string;
  try {
    segment = raw.includes('%') ? decodeURIComponent(raw) : raw;
  } catch {
    return refuse('The path segment', raw, '% is followed by two hexadecimal digits, and the bytes are UTF-8');
  }
  // An encoded separator would make one segment for the guard and two for the file system. A backslash separates
  // nothing on Linux, and systemd's units have it in their names.
  if (/[/\0]/.test(segment)) refuse('The path segment', raw, 'no slash or NUL inside, encoded or not');
  if (segment === '.' || segment === '..') refuse('The path segment', raw, 'no way up, and no encoded dot');
  return segment;
}

/**
 * The path of an HTTP request target in origin-form or absolute-form (RFC 9112 3.2), without query and fragment.
 * Decoded once, a segment at a time; empty segments and plain `.` collapse. `+` is a plus.
 * @throws ServiceError BAD_REQUEST: malformed or non-UTF-8 encoding; a segment that is `..`, an encoded `.`, or holds a
 * slash or NUL. URL_TOO_LONG: a target over 8192 characters
 */
export function parsePath(target: string): UrlPath {
  const raw = pathOf(target).split('/');
  const last = raw.at(-1);
  return {
    path: raw.filter((segment) => segment !== '' && segment !== '.').map(decodeSegment),
    endsWithSlash: last === '' || last === '.',
  };
}

function refusalOfName(value: string): string | undefined {
  if (value === '') return 'it must not be empty';
  if (value === '.' || value === '..') return 'it must not be . or ..';
  if (/[/\\]/.test(value)) return 'no slash and no backslash';
  if (/\p{Cc}/u.test(value)) return 'no control characters';
  if (/\p{Surrogate}/u.test(value)) return 'it must be well-formed Unicode';
  if (value !== value.trim()) return 'no space at its beginning or end';
  if (Buffer.byteLength(value) > maxNameBytes) return `at most ${maxNameBytes} bytes of UTF-8`;
  return undefined;
}

/**
 * Checks a name that becomes one segment of a path, such as an image's name or version; returns it unchanged.
 * @param what the name of the parameter, for the message
 * @throws ServiceError BAD_REQUEST
 */
export function checkName(value: string, what: string): string {
  const refusal = refusalOfName(value);
  if (refusal !== undefined) refuse(what, value, refusal);
  return value;
}

/**
 * Checks the name of a file in a store: `checkName`, and no dot at its beginning, where the service's own files live.
 * @throws ServiceError BAD_REQUEST
 */
export function checkFileName(value: string, what: string): string {
  if (checkName(value, what).startsWith('.')) refuse(what, value, 'no dot at its beginning');
  return value;
}

/** One segment of a URL path, encoded. Never throws: the lone surrogates that an ISO's names can hold become U+FFFD. */
export function encodeSegment(segment: string): string {
  return encodeURIComponent(segment.replace(/\p{Surrogate}/gu, '\ufffd'));
}

/** An absolute URL path with every segment encoded; `/` for none. Never begins with two slashes. */
export function encodePath(segments: readonly string[]): string {
  return `/${segments.map(encodeSegment).join('/')}`;
}

/**
 * The segments of a path as a file of an image names it, such as that of a kernel: a slash at its beginning is the root
 * of the image, empty segments and `.` collapse.
 * @param what names the path, for the message
 * @throws ServiceError BAD_REQUEST: a segment that is `..` or holds a control character, or no segment at all
 */
export function parseNamedPath(text: string, what: string): string[] {
  const segments = text.split('/').filter((segment) => segment !== '' && segment !== '.');
  if (segments.includes('..')) refuse(what, text, 'no way up');
  if (/\p{Cc}/u.test(text)) refuse(what, text, 'no control characters');
  if (segments.length === 0) refuse(what, text, 'it names a file');
  return segments;
}
