import { type Agent, type IncomingMessage, type OutgoingHttpHeaders, request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

/** A connection that ended before its answer did, or that could not be had. */
export class Cut extends Error {}

/** What is read, and how. */
export interface Reading {
  readonly base: string;
  readonly path: string;
  readonly method?: 'GET' | 'HEAD';
  readonly headers?: OutgoingHttpHeaders;
  /** A connection of its own unless given. */
  readonly agent?: Agent;
  readonly status: number;
  /** What the body must be; anything when it is not given. */
  readonly body?: Buffer;
  /** Bytes a second. */
  readonly rate?: number;
}

/** Milliseconds without a byte. */
const patience = 30_000;

function send({ base, path, method = 'GET', headers = {}, agent }: Reading): Promise<IncomingMessage> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const asked = request({ hostname, port, path, method, headers, agent: agent ?? false }, resolve);
    asked.setTimeout(patience, () => asked.destroy(new Error(`nothing came for ${patience / 1000} s`)));
    asked.on('error', (error) => reject(new Cut(`${method} ${path}: ${error.message}`)));
    asked.end();
  });
}

/** Compares as it reads, so that a large file takes no memory. */
async function compare(response: IncomingMessage, { path, body, rate }: Reading): Promise<Buffer> {
  const kept: Buffer[] = [];
  let at = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      if (body === undefined) kept.push(chunk);
      else if (!chunk.equals(body.subarray(at, at + chunk.length))) {
        throw new RangeError(`${path}: other bytes than expected from ${at} to ${at + chunk.length}`);
      }
      at += chunk.length;
      if (rate !== undefined) await delay((chunk.length / rate) * 1000);
    }
  } catch (error) {
    throw error instanceof RangeError ? error : new Cut(`${path}: cut at ${at}: ${String(error)}`);
  }
  if (!response.complete) throw new Cut(`${path}: cut at ${at}`);
  if (body !== undefined && at !== body.length) throw new Error(`${path}: ${at} bytes instead of ${body.length}`);
  return Buffer.concat(kept);
}

/**
 * Reads an answer to its end and compares it.
 * @throws Cut when the connection broke
 * @throws Error when a whole answer is not what was expected
 */
export async function read(reading: Reading): Promise<{ headers: IncomingMessage['headers']; body: Buffer }> {
  const response = await send(reading);
  if (response.statusCode !== reading.status) {
    response.destroy();
    throw new Error(`${reading.path}: status ${response.statusCode ?? 0} instead of ${reading.status}`);
  }
  return { headers: response.headers, body: await compare(response, reading) };
}
