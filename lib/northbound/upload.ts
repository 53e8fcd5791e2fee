import { publicError } from '../errors.js';
import { preferredType } from '../http/accept.js';
import { checkUpload, openUpload } from '../http/body.js';
import type { Exchange } from '../http/exchange.js';
import { type Form, isForm, openForm } from '../http/form.js';
import { UploadProgress } from '../http/progress.js';
import { sendJson } from '../http/reply.js';
import type { IncomingFile } from '../images/incoming-file.js';
import type { Log } from '../log.js';
import { type Parameters, checkParameters, mergeParameters, queryParameters } from './parameters.js';

/** An upload whose header is checked and whose body has not been asked for. */
export interface AnnouncedUpload<Name extends string> {
  /** From the query, and from the fields of a form. */
  readonly parameters: Parameters<Name>;
  /** Bytes; undefined when the client does not say. */
  readonly length: number | undefined;
  /** Bytes that the file takes at most, as far as the client says. */
  readonly room: number;
  readonly form: Form | undefined;
}

/** Checks what the header of an upload says; of a form, its body up to the file is read. */
export async function announcedUpload<Name extends string>(
  exchange: Exchange,
  allowed: readonly Name[],
): Promise<AnnouncedUpload<Name>> {
  const inQuery = queryParameters(exchange, allowed);
  const length = checkUpload(exchange.request);
  const room = length ?? 0;
  if (!isForm(exchange)) return { parameters: inQuery, length, room, form: undefined };
  const form = await openForm(exchange);
  const parameters = mergeParameters(inQuery, checkParameters(form.fields, allowed));
  return { parameters, length: undefined, room, form };
}

/** What a finished upload answers to a client that wants JSON. */
export interface UploadResult {
  readonly status: 200 | 201 | 202;
  readonly value: unknown;
}

/** Whether the client asks for one answer of JSON at the end rather than for progress in words. */
export function wantsJson(exchange: Exchange): boolean {
  return preferredType(exchange.request.headers.accept, ['text/plain', 'application/json']) === 'application/json';
}

/**
 * Receives an upload under the name that was claimed for it, and answers it in progress lines or in JSON.
 * @param finish is called when the file is in its place, before the answer says so
 */
export async function receiveUpload(
  exchange: Exchange,
  { length, form }: AnnouncedUpload<string>,
  arriving: IncomingFile,
  log: Log,
  finish: () => Promise<UploadResult>,
): Promise<void> {
  const open = () => form?.upload ?? openUpload(exchange);
  if (wantsJson(exchange)) {
    await arriving.take(open, () => undefined);
    const { status, value } = await finish();
    sendJson(exchange, status, value);
    return;
  }
  const progress = new UploadProgress(exchange, length);
  try {
    await arriving.take(open, (bytes) => progress.advance(bytes));
    await finish();
    progress.finish();
  } catch (error) {
    if (!exchange.response.headersSent) throw error;
    await progress.fail(publicError(error, log.error));
  }
}
