import { ServiceError } from '../errors.js';
import type { Application, Exchange, Subject } from './exchange.js';

export type Handler = (exchange: Exchange, parameters: Readonly<Record<string, string>>) => Promise<void> | void;

/** A line of a route table: method, path with `:name` for a segment of any value, handler. */
export type Route = readonly [
  method: 'GET' | 'HEAD' | 'PUT' | 'PATCH' | 'POST' | 'DELETE',
  path: string,
  handler: Handler,
];

function matchPath(pattern: string, path: readonly string[]): Record<string, string> | undefined {
  const wanted = pattern.split('/').filter((segment) => segment !== '');
  if (wanted.length !== path.length) return undefined;
  const parameters: Record<string, string> = {};
  for (const [index, segment] of wanted.entries()) {
    const given = path[index] ?? '';
    if (segment.startsWith(':')) parameters[segment.slice(1)] = given;
    else if (segment !== given) return undefined;
  }
  return parameters;
}

/** `Allow` for a set of routes: HEAD comes with GET, OPTIONS with everything. */
function allowOf(routes: readonly Route[]): string {
  const methods = routes.flatMap(([method]) => (method === 'GET' ? ['GET', 'HEAD'] : [method]));
  return [...new Set([...methods, 'OPTIONS'])].join(', ');
}

/**
 * Answers OPTIONS (RFC 9110 9.3.7).
 * @throws ServiceError METHOD_NOT_ALLOWED for every other method, which the resource lacks
 */
export function answerMethod({ request, response }: Exchange, allow: string): void {
  response.setHeader('Allow', allow);
  if (request.method !== 'OPTIONS') {
    const message = `${request.method ?? 'This method'} is not possible here; allowed: ${allow}`;
    throw new ServiceError('METHOD_NOT_ALLOWED', message);
  }
  response.writeHead(204).end();
}

/**
 * Lets a request pass, or throws what it is refused with.
 * @param path of the route, as the table has it
 */
export type Guard = (exchange: Exchange, path: string) => Promise<void>;

/**
 * An application of a table of routes. It leaves paths that no route has to the next application.
 * @param guard sees each request for a path of the table before anything else does, its method included
 */
export function createRouter(routes: readonly Route[], guard?: Guard): Application {
  const subjects = new Map<string, Subject>(routes.map(([, path]) => [path, { route: path }]));
  return async (exchange) => {
    const here = routes.filter(([, path]) => matchPath(path, exchange.path) !== undefined);
    const [first] = here;
    if (first === undefined) return false;
    const { method } = exchange.request;
    const of = (wanted: string | undefined) => here.find(([candidate]) => candidate === wanted);
    const route = of(method) ?? (method === 'HEAD' ? of('GET') : undefined);
    const subject = subjects.get((route ?? first)[1]);
    if (subject !== undefined) exchange.subject = subject;
    await guard?.(exchange, first[1]);
    if (route === undefined) answerMethod(exchange, allowOf(here));
    else await route[2](exchange, matchPath(route[1], exchange.path) ?? {});
    return true;
  };
}
