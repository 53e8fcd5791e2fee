import { sendJson } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import { queryParameters } from './parameters.js';

/** Why the service should get no requests now. */
export interface Readiness {
  /** In words for an operator, without host paths; empty when it is ready. Within about two seconds, whatever hangs. */
  reasons(): Promise<readonly string[]>;
}

/** The handler of `/healthz`: who gets an answer at all knows that the process is alive. */
export function aliveHandler(): Handler {
  return (exchange) => {
    queryParameters(exchange, []);
    sendJson(exchange, 200, { status: 'ok' });
  };
}

/** The handler of `/readyz`: 200, or 503 with the reasons. */
export function readyHandler(readiness: Readiness): Handler {
  return async (exchange) => {
    queryParameters(exchange, []);
    const reasons = await readiness.reasons();
    if (reasons.length === 0) sendJson(exchange, 200, { status: 'ok' });
    else sendJson(exchange, 503, { status: 'unavailable', reasons });
  };
}
