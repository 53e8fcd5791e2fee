import { once } from 'node:events';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { get } from 'node:http';
import { createServer } from 'node:net';
import { cpus, tmpdir, totalmem } from 'node:os';
import { join } from 'node:path';
import { startProgram } from '../fixtures/process.js';

export interface Bench {
  /** The service's process. */
  readonly pid: number;
  readonly north: string;
  readonly south: string;
  /** Holds `static/iso`, the store. */
  readonly folder: string;
}

/** Runs the service in a process and a folder of its own for as long as `measure` takes. */
export async function withService(
  prepare: (folder: string) => Promise<void>,
  measure: (bench: Bench) => Promise<void>,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'image-service-bench-'));
  try {
    await mkdir(join(folder, 'static/iso'), { recursive: true });
    await prepare(folder);
    await runService(folder, measure);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function runService(folder: string, measure: (bench: Bench) => Promise<void>): Promise<void> {
  const service = await startProgram(folder, { minLogLevel: 1 });
  try {
    await measure({ pid: service.child.pid ?? 0, north: service.north, south: service.south, folder });
  } finally {
    await service.end('SIGTERM');
  }
}

/** Resolves when the body of a GET has begun to arrive. */
export function firstByte(url: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`${url}: ${String(response.statusCode)}`));
      response.once('data', () => resolve());
      response.on('end', () => undefined);
    });
    request.on('error', reject);
  });
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  return typeof address === 'object' && address !== null ? address.port : 0;
}

/** Where the figures come from. */
export function machine(): string {
  const [cpu] = cpus();
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return `Node ${process.version}, ${cpus().length} cores (${cpu?.model ?? 'unknown'}), ${memory} GiB`;
}

/** The middle one of some figures, and the largest. */
export function spread(figures: readonly number[]): { readonly median: number; readonly worst: number } {
  const sorted = [...figures].sort((a, b) => a - b);
  return { median: sorted[Math.floor(sorted.length / 2)] ?? NaN, worst: sorted.at(-1) ?? NaN };
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
