import { ServiceError, publicError } from '../errors.js';
import { preferredType } from '../http/accept.js';
import { checkUpload, openUpload } from '../http/body.js';
import { digestFields, reprDigest } from '../http/digest-fields.js';
import type { Exchange } from '../http/exchange.js';
import { type Form, isForm, openForm } from '../http/form.js';
import { UploadProgress } from '../http/progress.js';
import { sendJson } from '../http/reply.js';
import { demanded, mergeDemands } from '../images/digests.js';
import { type Algorithm, type Digests, algorithms } from '../images/hashing.js';
import type { IncomingFile } from '../images/incoming-file.js';
import { type ExpectedFile, OffsetError, uploadSource } from '../images/receiving.js';
import type { Store } from '../images/store.js';
import type { Log } from '../log.js';
import { type Parameters, checkParameters, mergeParameters, queryParameters } from './parameters.js';

/** An upload whose header is checked and whose body has not been asked for. */
export interface AnnouncedUpload<Name extends string> extends Pick<ExpectedFile, 'source' | 'client'> {
  /** From the query, and from the fields of a form. */
  readonly parameters: Parameters<Name | Algorithm>;
  /** Bytes of the whole file; undefined when the client does not say. */
  readonly length: number | undefined;
  /** The byte with which the body begins. */
  readonly offset: number;
  /** Bytes that the file takes at most, as far as the client says. */
  readonly room: number;
  readonly form: Form | undefined;
  /** Bytes that the file may have. */
  readonly most: number;
  /** What the client wants the file to be. */
  readonly demands: Digests;
}

/** Bytes that a form may have beside its file, more than the limits of its fields let it. */
const formBytes = 1024 * 1024;

/** @throws ServiceError TOO_LARGE */
function checkSize(bytes: number, most: number): void {
  if (bytes > most)
    throw new ServiceError('TOO_LARGE', `The file is larger than ${most} bytes, as maxUploadBytes says`);
}

/**
 * Checks what the header of an upload says; of a form, its body up to the file is read.
 * @param most bytes that the file may have
 * @throws ServiceError TOO_LARGE, and the errors of `queryParameters`, `checkUpload` and `openForm`
 */
export async function announcedUpload<Name extends string>(
  exchange: Exchange,
  names: readonly Name[],
  most: number,
): Promise<AnnouncedUpload<Name>> {
  const allowed = [...names, ...algorithms];
  const inQuery = queryParameters<Name | Algorithm>(exchange, allowed);
  const { length, offset } = checkUpload(exchange.request);
  const client = exchange.request.socket.remoteAddress ?? 'gone';
  checkSize(length ?? 0, isForm(exchange) ? most + formBytes : most);
  if (isForm(exchange)) {
    const form = await openForm(exchange);
    const parameters = mergeParameters(inQuery, checkParameters(form.fields, allowed));
    const demands = demanded(parameters);
    const unknown = { length: undefined, offset: 0, source: undefined };
    return { ...{ parameters, form, demands, most, client, room: length ?? 0 }, ...unknown };
  }
  const demands = mergeDemands(demanded(inQuery), digestFields(exchange.request.headers));
  // Nobody could say of a file of unknown length where it is to go on, and whether it is whole.
  const source = length === undefined ? undefined : uploadSource;
  return { parameters: inQuery, form: undefined, demands, most, client, room: length ?? 0, length, offset, source };
}

/** Where an interrupted upload is to go on, as headers (named as in the IETF's resumable uploads for HTTP). */
export async function sendArrived(exchange: Exchange, store: Store, name: string): Promise<void> {
  const arrived = await store.arrived(name);
  if (arrived === undefined) throw new ServiceError('NOT_FOUND', `Nothing of ${name} has arrived`);
  const { bytes, length, isComplete } = arrived;
  const headers = {
    'Upload-Offset': bytes,
    ...(length !== undefined && { 'Upload-Length': length }),
    'Upload-Complete': isComplete ? '?1' : '?0',
    'Cache-Control': 'no-store',
  };
  exchange.response.writeHead(204, headers).end();
}

/** Claims a file's name for an upload; a client that wants to go on at the wrong byte is told the right one. */
export async function claim<T>(exchange: Exchange, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof OffsetError) exchange.response.setHeader('Upload-Offset', error.offset);
    throw error;
  }
}

/** What a finished upload answers to a client that wants JSON. */
export interface UploadResult {
  readonly status: 200 | 201 | 202;
  readonly value: unknown;
  /** Where it can be looked at, on this server. */
  readonly location: string;
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
  { length, form, demands, most }: AnnouncedUpload<string>,
  arriving: IncomingFile,
  log: Log,
  finish: () => Promise<UploadResult>,
): Promise<void> {
  const open = () => form?.upload ?? openUpload(exchange);
  arriving.demand(demands);
  if (wantsJson(exchange)) {
    await arriving.take(open, (bytes) => checkSize(bytes, most));
    const { status, value, location } = await finish();
    sendJson(exchange, status, value, { Location: location, 'Repr-Digest': reprDigest(arriving.sha256) });
    return;
  }
  const progress = new UploadProgress(exchange, length);
  try {
    await arriving.take(open, (bytes) => {
      checkSize(bytes, most);
      progress.advance(bytes);
    });
    await finish();
    progress.finish();
  } catch (error) {
    if (!exchange.response.headersSent) throw error;
    const shown = publicError(error, log.error);
    exchange.failure = shown.code;
    await progress.fail(shown);
  }
}
