import { BlockList, isIP } from 'node:net';
import { Access } from './access/access.js';
import type { Config } from './config.js';
import type { Log } from './log.js';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

function isLoopback(address: string): boolean {
  const family = isIP(address);
  return family === 0 ? address === 'localhost' : loopback.check(address, family === 6 ? 'ipv6' : 'ipv4');
}

/**
 * Who may use the management API, as `authFile` says; undefined: whoever reaches it, which is warned of unless that is
 * this machine alone.
 * @throws ServiceError BAD_REQUEST: the file cannot be read, or is broken
 */
export async function openAccess({ authFile, httpEndpoints }: Config, log: Log): Promise<Access | undefined> {
  if (authFile !== undefined) return Access.open(authFile, log);
  const open = httpEndpoints.filter(
    ({ address, routers, tls }) => routers.includes('northbound') && tls?.ca === undefined && !isLoopback(address),
  );
  if (open.length === 0) return undefined;
  const places = open.map(({ address, port }) => `${address} port ${port}`).join(' and ');
  log.warning(
    `northbound on ${places} needs no credentials: whoever reaches it can add, replace and delete images. ` +
      'Either set authFile and make a token with "image-service token add NAME", ' +
      'or set the address of that endpoint to a loopback one, such as 127.0.0.1',
  );
  return undefined;
}
