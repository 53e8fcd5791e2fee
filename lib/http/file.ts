import { randomBytes } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import type { OpenFile } from '../tree.js';
import { evaluate, ifRangeHolds } from './conditions.js';
import { reprDigest } from './digest-fields.js';
import type { Exchange } from './exchange.js';
import { mediaType } from './media-type.js';
import { type ByteRange, parseRange } from './range.js';
import { transfer, type TransferOptions } from './transfer.js';

/** What answers an exchange: a status, headers, and which parts of the file follow, each behind its own text. */
interface Answer {
  readonly status: number;
  readonly headers: OutgoingHttpHeaders;
  readonly parts: readonly { readonly lead: string; readonly start: number; readonly length: number }[];
  readonly trailer?: string;
}

/** Headers of every answer about the file, whatever its status (RFC 9110 15.4.5: a 304 carries them too). */
function validators({ tag, modified }: OpenFile, now: Date): OutgoingHttpHeaders {
  // Never later than Date (RFC 9110 8.8.2.1), which Node takes from a clock that may be slow: so both are ours.
  const shown = modified && modified > now ? now : modified;
  return {
    Date: now.toUTCString(),
    ETag: `"${tag}"`,
    // A name can be given to other bytes at any time, so a cache asks each time; the answer is then a short 304.
    'Cache-Control': 'no-cache',
    ...(shown && { 'Last-Modified': shown.toUTCString() }),
  };
}

/** What a 304 leaves out, as whoever asks has it already. */
const aboutContent = { 'Accept-Ranges': 'bytes', 'X-Content-Type-Options': 'nosniff' };

/** Types that can hold scripts: one on somebody's disc must not act in the name of our own pages. */
const scripted = /^(?:text\/html|(?:application|text|image)\/(?:[\w.+-]+\+)?xml)$/;
const isolation = { 'Content-Security-Policy': 'sandbox' };

/** What answers say that carry the file or a part of it. */
function content(file: OpenFile): OutgoingHttpHeaders {
  return file.sha256 === undefined ? {} : { 'Repr-Digest': reprDigest(file.sha256) };
}

function whole(file: OpenFile, type: string): Answer {
  return {
    status: 200,
    headers: { 'Content-Type': type, 'Content-Length': file.size, ...content(file) },
    parts: [{ lead: '', start: 0, length: file.size }],
  };
}

function single(file: OpenFile, type: string, { start, end }: ByteRange): Answer {
  const length = end - start + 1;
  return {
    status: 206,
    headers: {
      'Content-Type': type,
      'Content-Length': length,
      'Content-Range': `bytes ${start}-${end}/${file.size}`,
      ...content(file),
    },
    parts: [{ lead: '', start, length }],
  };
}

/** Several ranges in one body (RFC 9110 14.6). */
function several(file: OpenFile, type: string, ranges: readonly ByteRange[]): Answer {
  const boundary = randomBytes(12).toString('hex');
  const parts = ranges.map(({ start, end }) => ({
    lead: `\r\n--${boundary}\r\nContent-Type: ${type}\r\nContent-Range: bytes ${start}-${end}/${file.size}\r\n\r\n`,
    start,
    length: end - start + 1,
  }));
  const trailer = `\r\n--${boundary}--\r\n`;
  const length = parts.reduce((sum, part) => sum + part.lead.length + part.length, trailer.length);
  return {
    status: 206,
    headers: {
      'Content-Type': `multipart/byteranges; boundary=${boundary}`,
      'Content-Length': length,
      ...content(file),
    },
    parts,
    trailer,
  };
}

function choose(exchange: Exchange, file: OpenFile, type: string, now: Date): Answer {
  const { headers, method } = exchange.request;
  // A date to come says nothing yet: what we show for it is another one each second.
  const state = { tag: file.tag, modified: file.modified && file.modified > now ? undefined : file.modified };
  const verdict = evaluate(headers, state, method ?? 'GET');
  if (verdict === 'not-modified') return { status: 304, headers: {}, parts: [] };
  if (verdict === 'failed') return { status: 412, headers: { 'Content-Length': 0 }, parts: [] };
  // RFC 9110 14.2: Range has a meaning for GET only.
  const condition = headers['if-range'];
  if (method !== 'GET' || (typeof condition === 'string' && !ifRangeHolds(condition, state))) return whole(file, type);
  const range = parseRange(headers.range, file.size);
  if (range.kind === 'whole') return whole(file, type);
  if (range.kind === 'unsatisfiable') {
    return { status: 416, headers: { 'Content-Range': `bytes */${file.size}`, 'Content-Length': 0 }, parts: [] };
  }
  const [first, ...others] = range.ranges;
  if (first === undefined) return whole(file, type);
  return others.length === 0 ? single(file, type, first) : several(file, type, range.ranges);
}

/**
 * Answers GET and HEAD for an open file: conditions, ranges and headers of RFC 9110 (13, 14), then the bytes.
 * Closes the file on every path. When its bytes fail under way the connection is cut, so that the client sees it.
 * @param name the file's name: its ending tells the media type
 */
export async function sendFile(
  exchange: Exchange,
  file: OpenFile,
  name: string,
  options: TransferOptions = {},
): Promise<void> {
  const { request, response, closed } = exchange;
  // Which say nothing of the file.
  const others = response.getHeaderNames();
  try {
    const now = new Date();
    const type = mediaType(name);
    const answer = choose(exchange, file, type, now);
    const common = {
      ...validators(file, now),
      ...(answer.status !== 304 && aboutContent),
      ...(scripted.test(type) && isolation),
    };
    // Not by writeHead: as long as nothing has gone out, a disk that fails can still be told as such.
    response.statusCode = answer.status;
    for (const [field, value] of Object.entries({ ...common, ...answer.headers })) {
      if (value !== undefined) response.setHeader(field, value);
    }
    if (request.method !== 'HEAD') {
      for (const { lead, start, length } of answer.parts) {
        if (lead !== '') response.write(lead);
        await transfer(response, file, start, length, closed, options);
      }
      if (answer.trailer !== undefined) response.write(answer.trailer);
    }
    response.end();
  } catch (error) {
    if (!response.headersSent) {
      for (const name of response.getHeaderNames()) if (!others.includes(name)) response.removeHeader(name);
    }
    throw error;
  } finally {
    await file.close();
  }
}
