import http, { type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { addAbortSignal } from 'node:stream';
import { Body, type BodyOptions } from './download-body.js';
import type { Continuation, FarEndOptions, Opened, Origin } from './download-far-end.js';
import { badGateway, TemporaryFailure } from './download-failure.js';
import { type Answer, request } from './download-request.js';

const passing = new Set([408, 429]);

/** RFC 9110 10.2.3: seconds or a date. In milliseconds. */
function retryAfterOf(headers: IncomingHttpHeaders): number | undefined {
  const text = headers['retry-after']?.trim() ?? '';
  if (/^\d{1,9}$/.test(text)) return Number(text) * 1000;
  // Date.parse makes a date of nearly any number.
  const date = text.endsWith(' GMT') ? Date.parse(text) : NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - Date.now());
}

function failureOf({ response, host }: Answer): Error {
  const status = response.statusCode ?? 0;
  const message = `${host} answered ${status} ${http.STATUS_CODES[status] ?? ''}`.trimEnd();
  if (!passing.has(status) && (status < 500 || status > 599)) return badGateway(message);
  return new TemporaryFailure('BAD_GATEWAY', message, {}, retryAfterOf(response.headers));
}

/** RFC 9110 13.1.5: an entity tag must be strong, and a date counts only where there is no tag. */
function validatorOf(headers: IncomingHttpHeaders): string | undefined {
  const { etag, 'last-modified': modified, date } = headers;
  if (etag !== undefined) return /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(etag) ? etag : undefined;
  if (modified === undefined) return undefined;
  // RFC 9110 8.8.2.2: within the second that the date names, the file may change again and keep its date.
  return Date.parse(date ?? '') - Date.parse(modified) >= 1000 ? modified : undefined;
}

function lengthOf({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length'];
  // RFC 9112 6.3: beside a Transfer-Encoding it says nothing.
  return length === undefined || headers['transfer-encoding'] !== undefined ? undefined : Number(length);
}

/**
 * What a 206 says of the whole file; undefined unless it continues the very bytes that are there (RFC 9110 15.3.7.3). A
 * server that knows Range but not If-Range tells by its own validator that the file is another one by now.
 */
function continued({ headers }: IncomingMessage, { offset, origin }: Continuation): Origin | undefined {
  const [, first = '', last = '', total = ''] =
    /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i.exec(headers['content-range'] ?? '') ?? [];
  if (first === '' || Number(first) !== offset || Number(last) < offset) return undefined;
  const same = origin.validator.startsWith('"') ? headers.etag : headers['last-modified'];
  if (same !== undefined && same !== origin.validator) return undefined;
  const length = total === '*' ? (origin.length ?? Number(last) + 1) : Number(total);
  if (length !== (origin.length ?? length) || Number(last) >= length) return undefined;
  return { validator: origin.validator, length };
}

function checkCoding({ response, host }: Answer): void {
  const coding = response.headers['content-encoding']?.trim().toLowerCase() ?? '';
  if (coding !== '' && coding !== 'identity') throw badGateway(`${host} sent the file encoded although not asked to`);
}

function bodyOf(response: IncomingMessage, signal: AbortSignal, options: BodyOptions): Body {
  const flow = {
    resume: () => void response.resume(),
    pause: () => void response.pause(),
    close: () => void response.destroy(),
  };
  const body = new Body(flow, options);
  addAbortSignal(signal, body);
  response.on('data', (chunk: Buffer) => body.receive(chunk));
  response.on('end', () => body.complete());
  response.on('error', (error) => body.breakOff(error));
  response.pause();
  return body;
}

/** The part of the file that was asked for; undefined when the far end gives nothing that can be added. */
async function openRest(url: URL, options: FarEndOptions, continuation: Continuation): Promise<Opened | undefined> {
  const { offset, origin } = continuation;
  const answer = await request(url, { Range: `bytes=${offset}-`, 'If-Range': origin.validator }, options);
  const { response, host } = answer;
  const status = response.statusCode ?? 0;
  const now = status === 206 ? continued(response, continuation) : undefined;
  if (status === 200) return opened(answer, options);
  if (now !== undefined) return opened(answer, options, { offset, origin: now });
  response.destroy();
  // 416: the file is shorter by now.
  if (status === 206 || status === 416) return undefined;
  throw failureOf({ response, host });
}

/** @param part what is known of a 206 */
function opened(answer: Answer, options: FarEndOptions, part?: { offset: number; origin: Origin }): Opened {
  const { response, host } = answer;
  try {
    checkCoding(answer);
  } catch (error) {
    response.destroy();
    throw error;
  }
  const origin = part?.origin ?? { validator: validatorOf(response.headers), length: lengthOf(response) };
  const offset = part?.offset ?? 0;
  const { signal, idleTimeout } = options;
  const body = bodyOf(response, signal, { host, offset, length: origin.length, idleTimeout });
  return { body, origin, offset };
}

/**
 * Opens a file over http or https, from an offset (RFC 9110 14.2) if the far end still has the same file, and otherwise
 * from its start.
 * @param url as `checkDownloadUrl` returned it
 * @throws ServiceError FORBIDDEN (a host that is not allowed); BAD_GATEWAY (unreachable, not trusted, another status
 * than 200 and 206, encoded) and GATEWAY_TIMEOUT (silent before its answer), as TemporaryFailure where it may pass; an
 * error named AbortError after an abort
 */
export async function openHttp(url: URL, options: FarEndOptions, continuation?: Continuation): Promise<Opened> {
  const rest = continuation && (await openRest(url, options, continuation));
  if (rest !== undefined) return rest;
  const answer = await request(url, {}, options);
  if (answer.response.statusCode === 200) return opened(answer, options);
  answer.response.destroy();
  throw failureOf(answer);
}
