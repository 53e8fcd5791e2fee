/** A request, as far as it says where it came to. */
export interface Arrived {
  readonly headers: { readonly host?: string | undefined; readonly 'user-agent'?: string | undefined };
  readonly socket: { readonly localAddress?: string | undefined; readonly localPort?: number | undefined };
}

/** A host of a URL (RFC 3986 3.2.2) with or without a port, as it may stand in any text. */
const plainHost = /^(?:[a-z\d](?:[\w.-]*[a-z\d.])?|\[[\da-f:.]+\])(?::\d{1,5})?$/i;

/** An address as the host of a URL. */
export function hostOf(address: string): string {
  // What a socket of both families calls an address of IPv4.
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '');
  return plain.includes(':') ? `[${plain}]` : plain;
}

/** Host and port by which the client asked, or else those of the socket: what is no host is not believed. */
export function askedHost({ headers, socket }: Arrived): string {
  const { host = '' } = headers;
  const { localAddress = 'localhost', localPort = 0 } = socket;
  if (!plainHost.test(host)) return `${hostOf(localAddress)}:${localPort}`;
  // GRUB asks at any port and names none (as of 2.06).
  const isWithoutPort = headers['user-agent']?.startsWith('GRUB ') === true && !/:\d+$/.test(host) && localPort !== 80;
  return isWithoutPort ? `${host}:${localPort}` : host;
}

/** The URL of this server as the client asked for it, without a path. */
export function ownUrl(request: Arrived): string {
  return `${'encrypted' in request.socket ? 'https' : 'http'}://${askedHost(request)}`;
}
