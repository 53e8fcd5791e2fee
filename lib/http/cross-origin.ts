import type { IncomingMessage, ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { ServiceError } from '../errors.js';
import { quoted } from '../path.js';
import type { Application, Exchange } from './exchange.js';

/** What web pages of other origins may do (RFC 6454). Reading is for all of them, without credentials of the browser's. */
export type CrossOriginRules =
  | { readonly isReadOnly: true }
  /** @param origins those whose pages may change things, as browsers write them */
  | { readonly isReadOnly: false; readonly origins: readonly string[] };

const reading: ReadonlySet<string | undefined> = new Set(['GET', 'HEAD', 'OPTIONS']);
/** Headers that a page may send with a GET. Not Authorization: reading is for everybody, what needs it is not. */
const readingHeaders =
  'If-Match, If-Modified-Since, If-None-Match, If-Range, If-Unmodified-Since, Last-Event-ID, Range';
const changingHeaders = 'Authorization, Content-Digest, Content-MD5, Content-Range, Content-Type, Prefer, Repr-Digest';
/** Seconds that a browser may remember an answer. */
const maxAge = 600;

/** Host and port of an origin; undefined for `null` and what is none. */
function urlOf(origin: string): URL | undefined {
  return URL.canParse(origin) && new URL(origin).origin === origin ? new URL(origin) : undefined;
}

/**
 * Whether a host always means what it says. Whoever owns a name of the DNS can have it lead to any address, this
 * machine's too ("DNS rebinding"): his page would be of our origin then.
 */
function isOwnHost(host: string): boolean {
  const name = host.replace(/\.$/, '');
  return isIP(name.replace(/^\[|\]$/g, '')) !== 0 || name === 'localhost' || name === hostname().toLowerCase();
}

/** Whether a page's origin is that of the service, which the request's Host names. */
function isOwnOrigin(origin: URL, { headers, socket }: IncomingMessage): boolean {
  const { host = '' } = headers;
  const ours = URL.canParse(`${origin.protocol}//${host}`) ? new URL(`${origin.protocol}//${host}`).host : undefined;
  // Another scheme is another origin, unless somebody in front of us takes https, which only the browser knows.
  const isEncrypted = 'encrypted' in socket;
  const isSameScheme = isEncrypted === (origin.protocol === 'https:') || headers['sec-fetch-site'] === 'same-origin';
  return origin.host === ours && isSameScheme && isOwnHost(origin.hostname);
}

/** What to call the page that sent a request which it may not send; undefined when it may. */
function stranger(request: IncomingMessage, origins: readonly string[]): string | undefined {
  const { origin } = request.headers;
  const site = request.headers['sec-fetch-site'];
  if (origin !== undefined) {
    const url = urlOf(origin);
    if (url !== undefined && (origins.includes(origin) || isOwnOrigin(url, request))) return undefined;
    return `a web page of ${quoted(origin)}`;
  }
  // Browsers send it where they send no Origin; nobody else sends either.
  return site === undefined || site === 'none' || site === 'same-origin' ? undefined : 'a web page of another origin';
}

/** Refuses what a web page has a browser send that it has no business to (RFC 6454 7, Fetch Metadata). */
function checkPage({ request, response }: Exchange, origins: readonly string[]): void {
  const page = stranger(request, origins);
  if (page === undefined) {
    const { origin } = request.headers;
    response.setHeader('Vary', 'Origin');
    if (origin !== undefined && origins.includes(origin)) allowOrigin(response, origin);
    return;
  }
  const message = `This came from ${page}, which may change nothing here; corsOrigins lists those that may`;
  throw new ServiceError('FORBIDDEN', message);
}

function allowOrigin(response: ServerResponse, origin: string): void {
  response.setHeader('Access-Control-Allow-Origin', origin);
  response.setHeader('Access-Control-Expose-Headers', '*');
}

/** What a browser asks before it sends what a form could not send (Fetch 4.8). */
function isPreflight({ method, headers }: IncomingMessage): boolean {
  return method === 'OPTIONS' && headers.origin !== undefined && 'access-control-request-method' in headers;
}

function answerPreflight({ request, response }: Exchange, origins: readonly string[]): void {
  const { origin = '' } = request.headers;
  const isListed = origins.includes(origin);
  response.setHeader('Vary', 'Origin, Access-Control-Request-Method');
  response.setHeader('Access-Control-Allow-Origin', isListed ? origin : '*');
  response.setHeader('Access-Control-Allow-Methods', isListed ? 'GET, HEAD, PUT, PATCH, POST, DELETE' : 'GET, HEAD');
  response.setHeader(
    'Access-Control-Allow-Headers',
    isListed ? `${readingHeaders}, ${changingHeaders}` : readingHeaders,
  );
  response.setHeader('Access-Control-Max-Age', maxAge);
  response.writeHead(204).end();
}

/**
 * Has the pages of other origins read, and only those change anything that may. Requests that no page has sent, such as
 * curl's, carry neither Origin nor Sec-Fetch-Site, and are left alone.
 */
export function crossOrigin(rules: CrossOriginRules, application: Application): Application {
  return async (exchange) => {
    const origins = rules.isReadOnly ? [] : rules.origins;
    const { request, response } = exchange;
    const asks = isPreflight(request);
    const method = asks ? request.headers['access-control-request-method'] : request.method;
    if (!rules.isReadOnly && !reading.has(method)) checkPage(exchange, origins);
    else if (!asks && method !== 'OPTIONS') allowOrigin(response, '*');
    if (!asks) return application(exchange);
    answerPreflight(exchange, origins);
    return true;
  };
}
