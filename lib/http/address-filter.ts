import { BlockList, isIPv4 } from 'node:net';
import { ServiceError } from '../errors.js';
import type { Application } from './exchange.js';

interface Network {
  readonly address: string;
  readonly length: number;
}

/** An IPv4 address in the notation of IPv6 (RFC 4291 2.5.5.2), as sockets give it that take both, as what it is. */
function plain(address: string): string {
  const text = address.replace(/%.*$/, '');
  const mapped = /^(?:0*:)*:?ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(text)?.[1];
  return mapped !== undefined && isIPv4(mapped) ? mapped : text;
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv4(address) ? 'ipv4' : 'ipv6';
}

/** Of a mapped address in any notation, the one of IPv4 in its dots, as sockets give it. */
function canonical(address: string): string {
  if (isIPv4(address)) return address;
  const [, high, low] = /^\[::ffff:([\da-f]+):([\da-f]+)\]$/.exec(new URL(`http://[${address}]`).hostname) ?? [];
  if (high === undefined || low === undefined) return address;
  const bytes = [high, low].flatMap((group) => [parseInt(group, 16) >> 8, parseInt(group, 16) & 255]);
  return bytes.join('.');
}

function parse(network: string): Network {
  const [written = '', length] = network.split('/');
  const address = canonical(written);
  const most = isIPv4(address) ? 32 : 128;
  if (length === undefined) return { address, length: most };
  // A network of mapped addresses counts their first 96 bits.
  return { address, length: address === written ? Number(length) : Math.max(0, Number(length) - 96) };
}

/** Which addresses belong to some networks, IPv4 and IPv6. */
export class AddressFilter {
  // One each: a list of both takes an IPv4 address for one of `::/0`, too.
  readonly #lists = { ipv4: new BlockList(), ipv6: new BlockList() };

  /** @param networks in CIDR notation (RFC 4632 3.1, RFC 4291 2.3), or single addresses */
  constructor(networks: readonly string[]) {
    for (const { address, length } of networks.map(parse)) {
      const family = familyOf(address);
      this.#lists[family].addSubnet(address, length, family);
    }
  }

  allows(address: string): boolean {
    const text = plain(address);
    const family = familyOf(text);
    return this.#lists[family].check(text, family);
  }
}

/**
 * An application for the clients of some networks alone; the others are told so, and their connections closed.
 * @param networks as `AddressFilter` takes them, as they are now; undefined: any
 */
export function onlyFor(networks: () => readonly string[] | undefined, application: Application): Application {
  let known: readonly string[] = [];
  let filter = new AddressFilter(known);
  const allows = (address: string | undefined) => {
    const now = networks();
    if (now === undefined) return true;
    if (now !== known) filter = new AddressFilter(now);
    known = now;
    // A client that is gone has none.
    return address !== undefined && filter.allows(address);
  };
  return async (exchange) => {
    const { remoteAddress } = exchange.request.socket;
    if (allows(remoteAddress)) return application(exchange);
    exchange.response.setHeader('Connection', 'close');
    const message = `Files are not served to ${remoteAddress ?? 'you'}: southboundAllow does not list it`;
    throw new ServiceError('FORBIDDEN', message);
  };
}
