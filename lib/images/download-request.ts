import http, { type IncomingMessage } from 'node:http';
import https from 'node:https';
import type { LookupFunction } from 'node:net';
import type { FarEndOptions } from './download-far-end.js';
import { badGateway, inWords, silent } from './download-failure.js';
import { checkHost, guardedLookup, isNamed, isOwnAddress } from './download-hosts.js';
import { checkDownloadUrl, credentialsOf, withoutCredentials } from './download-url.js';

export interface Answer {
  /** Its header has come; whoever receives it reads it to its end or destroys it. */
  readonly response: IncomingMessage;
  /** Who answered in the end, with the port where it is not the usual one. */
  readonly host: string;
}

interface Place {
  /** Without credentials. */
  readonly url: URL;
  /** The Authorization field (RFC 7617), when there are credentials for this host. */
  readonly authorization: string | undefined;
}

const maxRedirects = 5;
const redirects = new Set([301, 302, 303, 307, 308]);

function placeOf(url: URL): Place {
  const credentials = credentialsOf(url);
  const authorization = credentials && `Basic ${Buffer.from(credentials).toString('base64')}`;
  return { url: new URL(withoutCredentials(url.href)), authorization };
}

/** Sends one request; resolves with the header of the answer, of whatever status. */
function ask(
  { url, authorization }: Place,
  fields: http.OutgoingHttpHeaders,
  { signal, idleTimeout, ca }: FarEndOptions,
  lookup: LookupFunction | undefined,
): Promise<IncomingMessage> {
  const headers: http.OutgoingHttpHeaders = {
    Accept: '*/*',
    'Accept-Encoding': 'identity',
    'User-Agent': 'image-service',
    ...(authorization === undefined ? {} : { Authorization: authorization }),
    ...fields,
  };
  const options = { agent: false, signal, headers, lookup };
  return new Promise((resolve, reject) => {
    const asked =
      url.protocol === 'https:'
        ? https.request(url, { ...options, ...(ca && { ca: [...ca] }) })
        : http.request(url, options);
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

function redirected({ url, authorization }: Place, location: string): Place {
  let next: URL;
  try {
    next = checkDownloadUrl(new URL(location, url).href);
  } catch (error) {
    throw badGateway(`${url.host} redirects to something that is not allowed`, error);
  }
  if (next.protocol === 'ftp:') throw badGateway(`${url.host} redirects from http to ftp`);
  // RFC 9110 15.4: credentials are for the host that they were given for, and not for the open wire after TLS.
  const isSame = next.host === url.host && (next.protocol === 'https:' || url.protocol === 'http:');
  const own = placeOf(next);
  return isSame && own.authorization === undefined ? { url: own.url, authorization } : own;
}

/**
 * Asks for a file over http or https, with the credentials of its URL. At most 5 redirects are followed; credentials
 * stay with their host, and a redirect from elsewhere leads to no service of this machine.
 * @param fields of the header, beyond the usual ones
 * @throws ServiceError BAD_GATEWAY, FORBIDDEN, GATEWAY_TIMEOUT; an error named AbortError after an abort
 */
export async function request(url: URL, fields: http.OutgoingHttpHeaders, options: FarEndOptions): Promise<Answer> {
  const { hosts, lookup } = options;
  let place = placeOf(url);
  checkHost(place.url, hosts);
  let response = await ask(place, fields, options, lookup);
  const isFromHere = isOwnAddress(response.socket.remoteAddress ?? '');
  for (let count = 0; ; count++) {
    const { location } = response.headers;
    const { host } = place.url;
    if (!redirects.has(response.statusCode ?? 0) || location === undefined) return { response, host };
    response.destroy();
    if (count === maxRedirects) throw badGateway(`${url.host} redirects more than ${maxRedirects} times`);
    place = redirected(place, location);
    checkHost(place.url, hosts);
    const isTrusted = isFromHere || isNamed(place.url, hosts);
    response = await ask(place, fields, options, isTrusted ? lookup : guardedLookup(place.url, lookup));
  }
}
