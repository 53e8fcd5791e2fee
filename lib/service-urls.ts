import type { Config } from './config.js';
import type { Endpoint } from './config-keys.js';
import { type Arrived, askedHost, hostOf } from './http/own-url.js';

const anyAddress: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** The endpoint of the file server that firmware can use, which knows no https, or else any. */
function fileServerOf(endpoints: readonly Endpoint[]): Endpoint | undefined {
  const southbound = endpoints.filter(({ routers }) => routers.includes('southbound'));
  return southbound.find(({ tls }) => tls === undefined) ?? southbound[0];
}

/**
 * The URL of the file server as machines reach it, without a slash at its end: `publicUrl`, or the address that it
 * listens on, or where that is any, the host by which the client asked for the recipe.
 * @param endpoints with their ports, once they are open
 */
export function fileServerUrl(
  config: Config,
  endpoints: () => readonly Endpoint[],
): (exchange: { readonly request: Arrived }) => string {
  return ({ request }) => {
    const endpoint = fileServerOf(endpoints());
    if (config.publicUrl !== undefined || endpoint === undefined) return config.publicUrl ?? '';
    const { address, port, tls } = endpoint;
    const asked = askedHost(request).replace(/:\d+$/, '');
    const scheme = tls === undefined ? 'http' : 'https';
    const host = anyAddress.has(address) ? asked : hostOf(address);
    const isUsual = port === (tls === undefined ? 80 : 443);
    return `${scheme}://${host}${isUsual ? '' : `:${port}`}${config.httpFileServiceApiRoot.replace(/\/$/, '')}`;
  };
}
