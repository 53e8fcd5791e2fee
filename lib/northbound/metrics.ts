import { send } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import type { Observed } from '../observe/observed.js';
import { queryParameters } from './parameters.js';

/** The handler of `/metrics`: the text format of Prometheus. */
export function metricsHandler(observed: Observed): Handler {
  return async (exchange) => {
    queryParameters(exchange, []);
    const { type, text } = await observed.metrics();
    send(exchange, 200, type, text, { 'Cache-Control': 'no-store' });
  };
}
