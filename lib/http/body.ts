import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { ServiceError } from '../errors.js';
import { quoted } from '../path.js';
import { type Exchange, hasBody, invite } from './exchange.js';

/** A request body that is a file, from when it is certain that we want it. */
export interface Upload {
  readonly stream: Readable;
  /** Resolves when the whole body has arrived as announced; a file is not complete before. */
  complete(): Promise<void>;
}

/** The media type without its parameters: `application/json; charset=utf-8` is JSON too. */
export function mediaTypeOf(request: IncomingMessage): string {
  return (request.headers['content-type'] ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '';
}

/** What the header of an upload says about its file. */
export interface AnnouncedFile {
  /** Bytes of the whole file; undefined when it comes chunked. */
  readonly length: number | undefined;
  /** The byte of the file with which the body begins. */
  readonly offset: number;
}

/** The rest of a file, as `curl --continue-at N --upload-file FILE` sends it: a body may be a part (RFC 9110 14.5). */
function readContentRange(range: string, length: number | undefined): AnnouncedFile {
  const [start, end, total] = (/^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15})$/i.exec(range.trim())?.slice(1) ?? []).map(
    Number,
  );
  const refuse = (why: string) => {
    const allowed = 'allowed: bytes FIRST-LAST/LENGTH, to the end of the file';
    return new ServiceError('BAD_REQUEST', `Content-Range ${quoted(range)}: ${why}; ${allowed}`);
  };
  if (start === undefined || end === undefined || total === undefined) throw refuse('it is not understood');
  if (end !== total - 1 || start > end) throw refuse('it does not go to the end of the file');
  if (length !== end - start + 1) throw refuse(`Content-Length is not ${end - start + 1}`);
  return { length: total, offset: start };
}

/**
 * Checks what the header says about a body that is to be a file, before a byte of it is read.
 * @throws ServiceError LENGTH_REQUIRED, BAD_REQUEST (empty, or a part from the middle), UNSUPPORTED_MEDIA_TYPE (encoded)
 */
export function checkUpload(request: IncomingMessage): AnnouncedFile {
  const { headers } = request;
  if (headers['content-length'] === undefined && headers['transfer-encoding'] === undefined) {
    throw new ServiceError(
      'LENGTH_REQUIRED',
      'The file is missing: send it as the body, with Content-Length or chunked (curl --upload-file FILE)',
    );
  }
  if (headers['content-length'] === '0') throw new ServiceError('BAD_REQUEST', 'The file in the body is empty');
  const encoding = headers['content-encoding'];
  if (encoding !== undefined && encoding.toLowerCase() !== 'identity') {
    const message = `The body has Content-Encoding ${encoding}; send the file as it is`;
    throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', message);
  }
  const length = headers['content-length'] === undefined ? undefined : Number(headers['content-length']);
  const range = headers['content-range'];
  return range === undefined ? { length, offset: 0 } : readContentRange(range, length);
}

/** The request's body as it comes, whatever its Content-Type: curl and wget call an ISO a form. */
export function openUpload(exchange: Exchange): Upload {
  const { request } = exchange;
  checkUpload(request);
  invite(exchange);
  const complete = () =>
    request.complete
      ? Promise.resolve()
      : Promise.reject(new ServiceError('BAD_REQUEST', 'The upload ended before all of the file had arrived'));
  return { stream: request, complete };
}

/** Bytes: no set of parameters is larger. */
const parameterBytes = 1024 * 1024;
/** Nor has any as many. */
const maxParameters = 100;

function readText(exchange: Exchange): Promise<string> {
  const { request } = exchange;
  const tooLarge = new ServiceError('TOO_LARGE', `The parameters in the body exceed ${parameterBytes} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > parameterBytes) return Promise.reject(tooLarge);
  invite(exchange);
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const more = (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= parameterBytes) chunks.push(chunk);
      else settle(() => reject(tooLarge));
    };
    const end = () => settle(() => resolve(Buffer.concat(chunks).toString()));
    const gone = () => settle(() => reject(new ServiceError('BAD_REQUEST', 'The body did not arrive whole')));
    const settle = (action: () => void) => {
      request.off('data', more).off('end', end).off('error', gone).off('close', gone);
      action();
    };
    request.on('data', more).on('end', end).on('error', gone).on('close', gone);
  });
}

function limited<T>(parameters: readonly T[]): readonly T[] {
  if (parameters.length <= maxParameters) return parameters;
  throw new ServiceError('BAD_REQUEST', `The body has more than ${maxParameters} parameters`);
}

function fromForm(text: string): [string, string][] {
  limited(text.split('&', maxParameters + 1));
  return [...new URLSearchParams(text)];
}

function fromJson(text: string): [string, string][] {
  if (text.trim() === '') return [];
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ServiceError('BAD_REQUEST', 'The body is not valid JSON');
  }
  // RackHD's test client sends `[]` with every DELETE.
  if (Array.isArray(value) && value.length === 0) return [];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ServiceError('BAD_REQUEST', 'The body must be a JSON object of parameters');
  }
  return limited(Object.entries(value)).map(([key, member]: [string, unknown]) => {
    if (typeof member === 'string') return [key, member];
    // Not the value itself: to write what is nested deeply takes more stack than there is.
    const kind = typeof member === 'object' && member !== null ? 'a list or an object' : String(member);
    throw new ServiceError('BAD_REQUEST', `${quoted(key)} is ${kind}; allowed: a string`);
  });
}

/**
 * Reads parameters from a body, JSON or a form.
 * @throws ServiceError BAD_REQUEST (not valid), TOO_LARGE (over 1 MiB), UNSUPPORTED_MEDIA_TYPE (anything else)
 */
export async function readParameters(exchange: Exchange): Promise<[string, string][]> {
  const { request } = exchange;
  if (!hasBody(request)) return [];
  const type = mediaTypeOf(request);
  if (type === 'application/json') return fromJson(await readText(exchange));
  if (type === 'application/x-www-form-urlencoded') return fromForm(await readText(exchange));
  const message = `A body of type ${quoted(type)} has no meaning here; allowed: JSON or a form of parameters`;
  throw new ServiceError('UNSUPPORTED_MEDIA_TYPE', message);
}
