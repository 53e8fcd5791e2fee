/**
 * A file server of Node that does nothing but what no server on Node can do without: `bare-node.js PROCESSES FOLDER
 * [PATH]...`, as `copying`, whose arguments and answers it has. It knows no HTTP but the requests of this benchmark, looks
 * at no file twice, and has no limits.
 */
import cluster from 'node:cluster';
import { openSync, fstatSync, read, readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';

// The best ones of those that were tried.
const pieceBytes = 512 * 1024;
const readsAtOnce = 4;

interface Served {
  readonly descriptor: number;
  readonly size: number;
  readonly held?: Buffer;
}

class BareServer {
  readonly #files = new Map<string, Served>();
  readonly #waiting: (() => void)[] = [];
  /** The last one that was used is the first one used again. */
  readonly #buffers: Buffer[] = [];
  #reading = 0;

  constructor(
    readonly folder: string,
    held: readonly string[],
  ) {
    for (const path of held) {
      const bytes = readFileSync(join(folder, path));
      this.#files.set(path, { descriptor: -1, size: bytes.length, held: bytes });
    }
  }

  serve(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on('error', () => socket.destroy());
    socket.on('data', (request) => {
      const path = request.toString('latin1').split(' ', 2)[1] ?? '';
      const file = this.#find(path);
      const head = `HTTP/1.1 200 OK\r\nContent-Length: ${file.size}\r\n\r\n`;
      if (file.held !== undefined && file.size <= pieceBytes) {
        socket.cork();
        socket.write(head);
        socket.write(file.held);
        socket.uncork();
        return;
      }
      socket.write(head);
      this.#send(socket, file, 0);
    });
  }

  #find(path: string): Served {
    const known = this.#files.get(path);
    if (known !== undefined) return known;
    const descriptor = openSync(join(this.folder, path), 'r');
    const file = { descriptor, size: fstatSync(descriptor).size };
    this.#files.set(path, file);
    return file;
  }

  #send(socket: Socket, file: Served, from: number): void {
    if (from >= file.size || socket.destroyed) return;
    const length = Math.min(pieceBytes, file.size - from);
    const next = () => setImmediate(() => this.#send(socket, file, from + length));
    if (file.held !== undefined) socket.write(file.held.subarray(from, from + length), next);
    else this.#whenFree(() => this.#copy(socket, file, [from, length], next));
  }

  #copy(socket: Socket, { descriptor }: Served, [from, length]: readonly [number, number], next: () => void): void {
    const buffer = this.#buffers.pop() ?? Buffer.allocUnsafeSlow(pieceBytes);
    read(descriptor, buffer, 0, length, from, () => {
      socket.write(buffer.subarray(0, length), () => {
        this.#buffers.push(buffer);
        next();
      });
      this.#reading--;
      this.#waiting.shift()?.();
    });
  }

  #whenFree(work: () => void): void {
    const begin = () => {
      this.#reading++;
      work();
    };
    if (this.#reading < readsAtOnce) begin();
    else this.#waiting.push(begin);
  }
}

const [count = '1', folder = '', ...held] = process.argv.slice(2);
if (cluster.isPrimary) {
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  let listening = 0;
  cluster.on('listening', (_worker, { port }) => {
    if (++listening === Number(count)) process.stdout.write(`${port}\n`);
  });
  for (let index = 0; index < Number(count); index++) cluster.fork();
  process.once('SIGTERM', () => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL');
    process.exit(0);
  });
} else {
  const server = new BareServer(folder, held);
  createServer((socket) => server.serve(socket)).listen({ port: 0, host: '127.0.0.1', backlog: 4096 });
}
