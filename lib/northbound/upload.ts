import { preferredType } from '../http/accept.js';
import type { Upload } from '../http/body.js';
import type { Exchange } from '../http/exchange.js';
import { UploadProgress } from '../http/progress.js';
import { describe, sendJson } from '../http/reply.js';
import type { Reception } from '../images/reception.js';
import type { Log } from '../log.js';

/** What a finished upload answers to a client that wants JSON. */
export interface UploadResult {
  readonly status: 200 | 201;
  readonly value: unknown;
}

/** Whether the client asks for one answer of JSON at the end rather than for progress in words. */
export function wantsJson(exchange: Exchange): boolean {
  return preferredType(exchange.request.headers.accept, ['text/plain', 'application/json']) === 'application/json';
}

/**
 * Receives an upload and answers it, in progress lines or in JSON.
 * @param receive takes the bytes to their place, telling how many have arrived
 */
export async function answerUpload(
  exchange: Exchange,
  length: number | undefined,
  log: Log,
  receive: (progress: (bytes: number) => void) => Promise<UploadResult>,
): Promise<void> {
  if (wantsJson(exchange)) {
    const { status, value } = await receive(() => undefined);
    sendJson(exchange, status, value);
    return;
  }
  const progress = new UploadProgress(exchange, length);
  try {
    await receive((bytes) => progress.advance(bytes));
    progress.finish();
  } catch (error) {
    if (!exchange.response.headersSent) throw error;
    await progress.fail(describe(error, log));
  }
}

/** Takes an upload into the store; the name is free again, and nothing is left behind, whatever fails. */
export async function takeUpload(
  reception: Reception,
  open: () => Upload,
  progress: (bytes: number) => void,
  check?: (path: string) => Promise<void>,
): Promise<void> {
  try {
    await reception.take(open(), progress, check);
  } finally {
    await reception.discard();
  }
}
