import { isIP } from 'node:net';
import { diskPath, type Reader, readEach, refuse } from './config-keys.js';

/** A list of values that one reader knows. */
function listOf<T>(allowed: string, reader: Reader<T>, substitute: T): Reader<readonly T[]> {
  return (value, at, root) => {
    if (!Array.isArray(value)) return refuse(at, value, allowed);
    return readEach(value, at, root, reader, substitute);
  };
}

/** Absolute paths of folders; undefined for null, which is no restriction. */
export const diskPaths: Reader<readonly string[] | undefined> = (value, at, root) => {
  return value === null ? undefined : listOf('a list of paths, or null for any', diskPath, '')(value, at, root);
};

const webHost: Reader<string> = (value, at) => {
  const text = typeof value === 'string' ? value : '';
  const [, below = '', host = '', port = ''] =
    /^(\*\.)?(\[[\da-f:.]+\]|[^\s/\\?#@:[\]%*]+)(:\d{1,5})?$/i.exec(text) ?? [];
  // The URL standard says how hosts are compared: in lower case, punycode, and the usual notation of addresses.
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname.replace(/\.$/, '') : '';
  const isNonsense = (below !== '' && isIP(name) !== 0) || Number(port.slice(1)) > 65_535;
  if (name !== '' && !isNonsense) return below + name + port;
  return refuse(at, value, 'a host name, *.example.com for all below it, or an IP address, each with or without :port');
};

/** Hosts, in the notation of the URL standard; undefined for null, which is no restriction. */
export const webHosts: Reader<readonly string[] | undefined> = (value, at, root) => {
  return value === null ? undefined : listOf('a list of hosts, or null for any', webHost, '')(value, at, root);
};

const origin: Reader<string> = (value, at) => {
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  // An origin is scheme, host and port (RFC 6454 6.1): anything more would never match one.
  if (url !== undefined && isHttp && url.href === `${url.origin}/`) return url.origin;
  return refuse(at, value, 'an origin, such as https://host.example.com:8443: a scheme, a host and a port');
};

/** Origins of web pages, as browsers write them. */
export const webOrigins: Reader<readonly string[]> = listOf('a list of origins', origin, '');

/** Whether a text is an IP address, or a network in CIDR notation (RFC 4632 3.1, RFC 4291 2.3). */
function isNetwork(text: string): boolean {
  const [address = '', length, ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0 || address.includes('%')) return false;
  return length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= (version === 4 ? 32 : 128));
}

const network: Reader<string> = (value, at) =>
  typeof value === 'string' && isNetwork(value)
    ? value
    : refuse(at, value, 'an IP address or a network, such as 10.1.0.0/16 or fd00::/8');

/** Networks in CIDR notation; undefined for null, which is no restriction. */
export const networks: Reader<readonly string[] | undefined> = (value, at, root) => {
  return value === null ? undefined : listOf('a list of networks, or null for any', network, '')(value, at, root);
};
