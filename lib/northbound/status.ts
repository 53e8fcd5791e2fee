import { sendJson } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import type { Store } from '../images/store.js';
import { queryParameters } from './parameters.js';

/** The handler of `/status`: how much room there is, in bytes. */
export function statusHandler(stores: Readonly<Record<string, Store>>): Handler {
  return async (exchange) => {
    queryParameters(exchange, []);
    const spaces = Object.entries(stores).map(async ([name, store]) => [name, await store.space()] as const);
    sendJson(exchange, 200, { stores: Object.fromEntries(await Promise.all(spaces)) });
  };
}
