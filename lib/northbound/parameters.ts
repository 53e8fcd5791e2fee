import { ServiceError } from '../errors.js';
import { readParameters } from '../http/body.js';
import type { Exchange } from '../http/exchange.js';
import { quoted } from '../path.js';

/** Parameters of a request by name: each given once, none of them empty. */
export type Parameters<Name extends string> = Readonly<Partial<Record<Name, string>>>;

/**
 * Checks parameters as they came, from query or body.
 * @param mayBeEmpty those that say something without a value, too
 * @throws ServiceError BAD_REQUEST: a name that is not among the allowed ones, given twice, or without a value
 */
export function checkParameters<Name extends string>(
  given: Iterable<readonly [string, string]>,
  allowed: readonly Name[],
  mayBeEmpty: readonly Name[] = [],
): Parameters<Name> {
  const parameters: Partial<Record<Name, string>> = {};
  for (const [key, value] of given) {
    const name = allowed.find((candidate) => candidate === key);
    if (name === undefined) {
      const message = `Unknown parameter ${quoted(key)}; allowed: ${allowed.join(', ') || 'none'}`;
      throw new ServiceError('BAD_REQUEST', message);
    }
    if (value === '' && !mayBeEmpty.includes(name)) throw new ServiceError('BAD_REQUEST', `${name} is empty`);
    if (parameters[name] !== undefined) throw new ServiceError('BAD_REQUEST', `${name} is given twice`);
    parameters[name] = value;
  }
  return parameters;
}

/**
 * The parameters of a request's query.
 * @throws ServiceError the errors of `checkParameters`; BAD_REQUEST also for an encoding that is no UTF-8
 */
export function queryParameters<Name extends string>(
  exchange: Exchange,
  allowed: readonly Name[],
  mayBeEmpty: readonly Name[] = [],
): Parameters<Name> {
  try {
    // URLSearchParams makes the same character of everything that it cannot decode: two names would become one.
    decodeURIComponent(exchange.search);
  } catch {
    throw new ServiceError('BAD_REQUEST', `The query ${quoted(exchange.search)} is not percent-encoded UTF-8`);
  }
  return checkParameters(exchange.query, allowed, mayBeEmpty);
}

/**
 * Parameters of a query and of a body.
 * @throws ServiceError BAD_REQUEST when one has two values
 */
export function mergeParameters<Name extends string>(
  inQuery: Parameters<Name>,
  inBody: Parameters<Name>,
): Parameters<Name> {
  for (const [name, value] of Object.entries(inBody)) {
    const other = Object.entries(inQuery).find(([key]) => key === name)?.[1];
    if (other !== undefined && other !== value) {
      throw new ServiceError('BAD_REQUEST', `${name} is given twice, with different values in query and body`);
    }
  }
  return { ...inBody, ...inQuery };
}

/**
 * The parameters of a request's query and of its body.
 * @throws ServiceError the errors of `queryParameters`, `checkParameters`, `mergeParameters` and `readParameters`
 */
export async function allParameters<Name extends string>(
  exchange: Exchange,
  allowed: readonly Name[],
  mayBeEmpty: readonly Name[] = [],
): Promise<Parameters<Name>> {
  // The query first: what is wrong there is said before a byte of the body is read.
  const inQuery = queryParameters(exchange, allowed, mayBeEmpty);
  return mergeParameters(inQuery, checkParameters(await readParameters(exchange), allowed, mayBeEmpty));
}

/** @throws ServiceError BAD_REQUEST when the parameter is missing */
export function required<Name extends string>(parameters: Parameters<Name>, name: Name): string {
  const value = parameters[name];
  if (value === undefined) throw new ServiceError('BAD_REQUEST', `${name} is missing`);
  return value;
}

/** Seconds that `Prefer: wait=SECONDS` (RFC 7240 4.3) gives us, if the client sent it; at most an hour. */
export function preferredWait(exchange: Exchange): number | undefined {
  const { prefer } = exchange.request.headers;
  const match = /(?:^|[,;])\s*wait\s*=\s*"?(\d{1,9})"?\s*(?:$|[,;])/i.exec(
    Array.isArray(prefer) ? prefer.join() : (prefer ?? ''),
  );
  return match === null ? undefined : Math.min(Number(match[1]), 3600);
}
