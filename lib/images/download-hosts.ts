import { lookup as systemLookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { ServiceError } from '../errors.js';

const ports: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443', 'ftp:': '21' };

/** Addresses that mean this machine or its own wire: RFC 6890 for IPv4, RFC 4291 2.4 for IPv6. */
const ownAddresses = new BlockList();
ownAddresses.addSubnet('127.0.0.0', 8, 'ipv4');
ownAddresses.addSubnet('169.254.0.0', 16, 'ipv4');
ownAddresses.addSubnet('0.0.0.0', 8, 'ipv4');
ownAddresses.addAddress('::1', 'ipv6');
ownAddresses.addAddress('::', 'ipv6');
ownAddresses.addSubnet('fe80::', 10, 'ipv6');

interface Entry {
  /** Without brackets or final dot, in lower case. */
  readonly host: string;
  readonly port: string | undefined;
  /** All hosts below this one, and not itself. */
  readonly isBelow: boolean;
}

function parseEntry(text: string): Entry {
  const [, below, host = '', port] = /^(\*\.)?(\[.*\]|[^:]*)(?::(\d+))?$/.exec(text.toLowerCase()) ?? [];
  return { host: bareHost(host), port, isBelow: below !== undefined };
}

function bareHost(host: string): string {
  return host.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
}

function fits(url: URL, { host, port, isBelow }: Entry): boolean {
  if (port !== undefined && port !== (url.port || ports[url.protocol])) return false;
  const asked = bareHost(url.hostname);
  return isBelow ? asked.endsWith(`.${host}`) : asked === host;
}

/**
 * Refuses a URL whose host is not listed.
 * @param hosts `isoWebHosts`: names with or without a port, `*.example.com` for all below; undefined: any
 * @throws ServiceError FORBIDDEN
 */
export function checkHost(url: URL, hosts: readonly string[] | undefined): void {
  if (hosts?.some((entry) => fits(url, parseEntry(entry))) ?? true) return;
  throw new ServiceError('FORBIDDEN', `Downloads from ${url.host} are not allowed: isoWebHosts does not list it`);
}

/** Whether the operator named this very host: `*.example.com` says nothing of the addresses of the names below. */
export function isNamed(url: URL, hosts: readonly string[] | undefined): boolean {
  return hosts?.map(parseEntry).some((entry) => !entry.isBelow && fits(url, entry)) ?? false;
}

/** Whether an address is loopback, link-local or unspecified, as IPv4, IPv6 or IPv4 within IPv6 (RFC 4291 2.5.5.2). */
export function isOwnAddress(address: string): boolean {
  const [bare = ''] = address.split('%');
  const version = isIP(bare);
  return version !== 0 && ownAddresses.check(bare, version === 4 ? 'ipv4' : 'ipv6');
}

function refusal(url: URL): ServiceError {
  const message = `A redirect to ${url.host} is not allowed: it leads to this machine or its own link, and isoWebHosts does not list it`;
  return new ServiceError('FORBIDDEN', message);
}

/**
 * A lookup that fails with FORBIDDEN for a name that leads to this machine or its own link: whoever controls a far end
 * must not reach what listens on loopback. What is looked up is what is connected to, so a name cannot change between.
 * @param url where a redirect leads
 * @throws ServiceError FORBIDDEN when its host is such an address itself: Node looks no address up
 */
export function guardedLookup(url: URL, lookup: LookupFunction = systemLookup): LookupFunction {
  if (isOwnAddress(bareHost(url.hostname))) throw refusal(url);
  return (hostname, options, callback) => {
    lookup(hostname, options, (error, found, family) => {
      const addresses = typeof found === 'string' ? [{ address: found }] : found;
      if (!error && addresses.some(({ address }) => isOwnAddress(address))) callback(refusal(url), found, family);
      else callback(error, found, family);
    });
  };
}
