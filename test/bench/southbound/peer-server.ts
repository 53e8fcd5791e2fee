/** A server of static files on a free port, by a package of this benchmark: `peer-server.js PACKAGE FOLDER`. */
import { createServer, type RequestListener } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../../../test/bench/southbound/package.json', import.meta.url));

type Callable = (...args: readonly unknown[]) => unknown;

function isCallable(value: unknown): value is Callable {
  return typeof value === 'function';
}

function packaged(name: string): Callable {
  const value: unknown = require(name);
  if (isCallable(value)) return value;
  throw new TypeError(`${name} is no function`);
}

function hasPipe(value: unknown): value is { pipe(target: unknown): unknown } {
  return typeof value === 'object' && value !== null && 'pipe' in value;
}

/** Each as its own documentation shows it. */
const listeners: Readonly<Record<string, (folder: string) => RequestListener>> = {
  send: (folder) => {
    const send = packaged('send');
    return (request, response) => {
      const stream = send(request, request.url, { root: folder });
      if (hasPipe(stream)) stream.pipe(response);
    };
  },
  sirv: (folder) => {
    const handler = packaged('sirv')(folder);
    return (request, response) => {
      if (isCallable(handler)) handler(request, response);
    };
  },
  'serve-handler': (folder) => {
    const handler = packaged('serve-handler');
    return (request, response) => {
      handler(request, response, { public: folder });
    };
  },
};

const [name = '', folder = ''] = process.argv.slice(2);
const listener = listeners[name]?.(folder);
if (listener === undefined) throw new Error(`There is no ${name}`);
const server = createServer(listener);
// As the service itself.
server.keepAliveTimeout = 65_000;
server.listen(0, '127.0.0.1', 4096, () => {
  const address = server.address();
  process.stdout.write(`${typeof address === 'object' ? (address?.port ?? 0) : 0}\n`);
});
process.once('SIGTERM', () => process.exit(0));
