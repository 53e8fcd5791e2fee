import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import { addAbortSignal, Readable } from 'node:stream';
import { ServiceError, systemCode } from '../errors.js';
import { allowed, checkDownloadUrl, credentialsOf, withoutCredentials } from './download-url.js';

export interface DownloadOptions {
  /** Ends the download: what waits and what is read from then on fails with an error named AbortError. */
  readonly signal: AbortSignal;
  /** Milliseconds without a byte, before or within the body, after which the far end counts as silent. */
  readonly idleTimeout: number;
}

export interface Download {
  /** Fails with ServiceError BAD_GATEWAY when it ends early and GATEWAY_TIMEOUT when the far end falls silent. */
  readonly body: Readable;
  /** Bytes; undefined when the far end does not say. */
  readonly length: number | undefined;
}

interface Target {
  /** Without credentials. */
  readonly url: URL;
  /** The Authorization field (RFC 7617), when there are credentials for this host. */
  readonly authorization: string | undefined;
}

const maxRedirects = 5;
const redirects = new Set([301, 302, 303, 307, 308]);
const bodyBuffer = 262144;

const reasons: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name is unknown',
  EAI_AGAIN: 'its name cannot be resolved at the moment',
  ECONNREFUSED: 'it refuses the connection',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  EHOSTUNREACH: 'it cannot be reached',
  ENETUNREACH: 'it cannot be reached',
  ETIMEDOUT: 'it does not answer',
  EPROTO: 'TLS cannot be negotiated with it',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed and not trusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority that is not trusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority that is not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an authority that is not trusted',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
};

function badGateway(message: string, cause?: unknown): ServiceError {
  return new ServiceError('BAD_GATEWAY', message, cause === undefined ? {} : { cause });
}

function silent(host: string, idleTimeout: number): ServiceError {
  return new ServiceError('GATEWAY_TIMEOUT', `${host} was silent for ${idleTimeout / 1000} seconds`);
}

function reasonOf(error: Error): string {
  const code = systemCode(error) ?? '';
  if (code.startsWith('HPE_')) return 'its answer is not HTTP';
  if (code.startsWith('ERR_SSL_')) return 'TLS cannot be negotiated with it';
  return reasons[code] ?? error.message;
}

function inWords(host: string, error: Error): Error {
  if (error instanceof ServiceError || error.name === 'AbortError') return error;
  return badGateway(`Cannot download from ${host}: ${reasonOf(error)}`, error);
}

function targetOf(url: URL): Target {
  const credentials = credentialsOf(url);
  const authorization = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
  return { url: new URL(withoutCredentials(url.href)), authorization };
}

/** Sends one request; resolves with the header of the answer, of whatever status. */
function ask({ url, authorization }: Target, { signal, idleTimeout }: DownloadOptions): Promise<IncomingMessage> {
  const headers: http.OutgoingHttpHeaders = {
    Accept: '*/*',
    'Accept-Encoding': 'identity',
    'User-Agent': 'image-service',
    ...(authorization === undefined ? {} : { Authorization: authorization }),
  };
  const { request } = url.protocol === 'https:' ? https : http;
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent: false, signal, headers });
    const timer = setTimeout(() => asked.destroy(silent(url.host, idleTimeout)), idleTimeout);
    // Stays for good: malformed chunks are reported here while the body is read, and would end the process unheard.
    asked.on('error', (error) => {
      clearTimeout(timer);
      reject(inWords(url.host, error));
    });
    asked.on('response', (response) => {
      clearTimeout(timer);
      resolve(response);
    });
    asked.end();
  });
}

function redirected({ url, authorization }: Target, location: string): Target {
  let next: URL;
  try {
    next = checkDownloadUrl(new URL(location, url).href);
  } catch (error) {
    throw badGateway(`${url.host} redirects to something that is not ${allowed}`, error);
  }
  // RFC 9110 15.4: credentials are for the host that they were given for, and not for the open wire after TLS.
  const isSame = next.host === url.host && (next.protocol === 'https:' || url.protocol === 'http:');
  const own = targetOf(next);
  return isSame && own.authorization === undefined ? { url: own.url, authorization } : own;
}

async function follow(first: Target, options: DownloadOptions): Promise<{ response: IncomingMessage; host: string }> {
  let target = first;
  for (let count = 0; count <= maxRedirects; count++) {
    const response = await ask(target, options);
    const { location } = response.headers;
    if (!redirects.has(response.statusCode ?? 0) || location === undefined) return { response, host: target.url.host };
    response.destroy();
    target = redirected(target, location);
  }
  throw badGateway(`${first.url.host} redirects more than ${maxRedirects} times`);
}

function checkAnswer(response: IncomingMessage, host: string): void {
  const status = response.statusCode ?? 0;
  if (status !== 200) throw badGateway(`${host} answered ${status} ${http.STATUS_CODES[status] ?? ''}`.trimEnd());
  const coding = response.headers['content-encoding']?.trim().toLowerCase() ?? 'identity';
  if (coding !== '' && coding !== 'identity') throw badGateway(`${host} sent the file encoded although not asked to`);
}

function lengthOf(response: IncomingMessage): number | undefined {
  const length = response.headers['content-length'];
  // RFC 9112 6.3: beside a Transfer-Encoding it says nothing.
  return length === undefined || response.headers['transfer-encoding'] !== undefined ? undefined : Number(length);
}

/** The body of an answer: ends only when it is complete, and counts silence only while somebody wants to read. */
class Body extends Readable {
  #received = 0;
  readonly #timer: NodeJS.Timeout;
  #wanted = false;

  constructor(
    private readonly response: IncomingMessage,
    host: string,
    private readonly length: number | undefined,
    idleTimeout: number,
  ) {
    super({ highWaterMark: bodyBuffer });
    this.#timer = setInterval(() => {
      if (this.#wanted) this.destroy(silent(host, idleTimeout));
    }, idleTimeout);
    response.on('data', (chunk: Buffer) => this.#receive(chunk));
    response.on('end', () => this.#complete());
    response.on('error', (error) => this.destroy(this.#cutShort(error)));
    response.pause();
    // Whoever takes the body may open a file first; a failure meanwhile is kept for them and must not end the process.
    this.on('error', () => undefined);
  }

  override _read(): void {
    if (!this.#wanted) this.#timer.refresh();
    this.#wanted = true;
    this.response.resume();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearInterval(this.#timer);
    this.response.destroy();
    done(error);
  }

  #receive(chunk: Buffer): void {
    this.#received += chunk.length;
    this.#timer.refresh();
    if (this.push(chunk)) return;
    this.#wanted = false;
    this.response.pause();
  }

  #complete(): void {
    clearInterval(this.#timer);
    this.push(null);
  }

  #cutShort(error: Error): Error {
    if (error.name === 'AbortError') return error;
    const total = this.length === undefined ? '' : ` of ${this.length}`;
    return badGateway(`The download broke off after ${this.#received}${total} bytes`, error);
  }
}

/**
 * Starts a download over http or https; credentials of the URL become Basic authentication (RFC 7617). At most 5
 * redirects are followed; credentials stay with their host. Ends by reading `body` to its end or by destroying it.
 * @param url as `checkDownloadUrl` returned it
 * @throws ServiceError BAD_GATEWAY (unreachable, not trusted, another status than 200, encoded), GATEWAY_TIMEOUT
 * (silent before its answer); an error named AbortError after an abort
 */
export async function openDownload(url: URL, options: DownloadOptions): Promise<Download> {
  const { response, host } = await follow(targetOf(url), options);
  try {
    checkAnswer(response, host);
  } catch (error) {
    response.destroy();
    throw error;
  }
  const length = lengthOf(response);
  const body: Readable = new Body(response, host, length, options.idleTimeout);
  addAbortSignal(options.signal, body);
  return { body, length };
}
