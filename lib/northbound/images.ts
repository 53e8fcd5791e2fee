import { ServiceError } from '../errors.js';
import type { Exchange } from '../http/exchange.js';
import { isForm } from '../http/form.js';
import { sendJson } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import { withoutCredentials } from '../images/download-url.js';
import { readBundle } from '../images/bundle.js';
import { settingParameters, readImageSettings } from '../images/image-settings.js';
import type { Image } from '../images/image.js';
import type { Images } from '../images/images.js';
import { demanded } from '../images/digests.js';
import { algorithms } from '../images/hashing.js';
import type { IncomingFile } from '../images/incoming-file.js';
import { type ImageRecord, type ImageSource, sourceKinds, viewChoices } from '../images/record.js';
import type { Store } from '../images/store.js';
import type { Log } from '../log.js';
import type { Signature } from '../systems/signature.js';
import { checkFileName } from '../path.js';
import { type Parameters, allParameters, preferredWait, queryParameters, required } from './parameters.js';
import { announcedUpload, claim, receiveUpload, sendArrived } from './upload.js';

const filterNames = ['id', 'name', 'version', 'iso', 'status'] as const;
const putNames = ['name', 'version', 'view', ...sourceKinds, ...settingParameters] as const;
const addNames = [...putNames, ...algorithms, 'sums'] as const;
type PutParameters = Parameters<(typeof addNames)[number]>;

/** A record as clients see it: without the passwords that URLs may hold. */
export function shown(record: ImageRecord): ImageRecord {
  const { source } = record;
  if (source?.kind !== 'isoweb') return record;
  const { value, sums } = source;
  const open = { value: withoutCredentials(value), ...(sums !== undefined && { sums: withoutCredentials(sums) }) };
  return { ...record, source: { ...source, ...open } };
}

/** What the ISO has to be, as a client says it beside its source. */
function wanted(kind: ImageSource['kind'], parameters: PutParameters): Pick<ImageSource, 'digests' | 'sums'> {
  const { sums } = parameters;
  const digests = demanded(parameters);
  if (sums !== undefined && kind !== 'isoweb') {
    throw new ServiceError('BAD_REQUEST', `sums belongs to isoweb, and not to ${kind}`);
  }
  return { ...(Object.keys(digests).length > 0 && { digests }), ...(sums !== undefined && { sums }) };
}

/** The tree of the disc that is to be shown. */
function viewOf({ view }: PutParameters): Pick<ImageSource, 'view'> {
  if (view === undefined) return {};
  const choice = viewChoices.find((one) => one === view);
  if (choice !== undefined) return { view: choice };
  throw new ServiceError('BAD_REQUEST', `view must be one of ${viewChoices.join(', ')}`);
}

/** A bundle is made of files, and what is said of an ISO has no meaning. @throws ServiceError BAD_REQUEST */
function checkBundle(value: string, parameters: PutParameters): void {
  readBundle(value);
  const stray = (['view', ...algorithms] as const).find((name) => parameters[name] !== undefined);
  if (stray !== undefined) throw new ServiceError('BAD_REQUEST', `${stray} belongs to an ISO, and not to bundle`);
}

/** The source of the ISO; where several are given, the first of the documented order. */
function sourceOf(parameters: PutParameters): ImageSource {
  for (const kind of sourceKinds) {
    const value = parameters[kind];
    if (value === undefined) continue;
    if (kind === 'bundle') checkBundle(value, parameters);
    return { kind, value, ...wanted(kind, parameters), ...viewOf(parameters) };
  }
  const message = `A source of the ISO is missing; allowed: one of ${sourceKinds.join(', ')}`;
  throw new ServiceError('BAD_REQUEST', message);
}

/** The body is compared with its digests on the way; the ISO may be replaced by another one later. */
function withoutDigests({ digests, ...source }: ImageSource): ImageSource {
  return source;
}

export interface ImageResource {
  readonly images: Images;
  readonly isoStore: Store;
  readonly log: Log;
  readonly maxUploadBytes: () => number;
  readonly signatures: () => readonly Signature[];
}

async function upload(exchange: Exchange, { images, log, maxUploadBytes, signatures }: ImageResource): Promise<void> {
  const announced = await announcedUpload(exchange, putNames, maxUploadBytes());
  const { form } = announced;
  const parameters = { ...(form && { isoclient: form.fileName }), ...announced.parameters };
  const name = required(parameters, 'name');
  const version = required(parameters, 'version');
  const source = sourceOf(parameters);
  const settings = readImageSettings(parameters, signatures());
  if (source.kind !== 'isoclient') {
    throw new ServiceError('BAD_REQUEST', `A form with a file cannot have ${source.kind} beside it`);
  }
  const receive = (arriving: IncomingFile, begin: () => Promise<Image>) =>
    receiveUpload(exchange, announced, arriving, log, async () => {
      const value = shown(await settledRecord(exchange, await begin()));
      // Whoever wanted to wait for the outcome is told by the status, too.
      const isOpen = preferredWait(exchange) !== undefined && value.status !== 'OK';
      return { status: isOpen ? 202 : 201, value, location: `/images/${value.id}` };
    });
  await claim(exchange, () =>
    images.upload(name, version, withoutDigests(source), { ...announced, settings }, receive),
  );
}

/** The record as it is now, or, where the client prefers to wait, as it is then. */
async function settledRecord(exchange: Exchange, image: Image): Promise<ImageRecord> {
  // Before the first pause: the answer then has the state that the documentation shows.
  const { record } = image;
  const wait = preferredWait(exchange);
  if (wait === undefined) return record;
  await image.settled(wait * 1000, exchange.closed);
  if (!exchange.response.headersSent) exchange.response.setHeader('Preference-Applied', `wait=${wait}`);
  return image.described;
}

async function add(exchange: Exchange, parameters: PutParameters, resource: ImageResource): Promise<void> {
  const name = required(parameters, 'name');
  const version = required(parameters, 'version');
  const settings = readImageSettings(parameters, resource.signatures());
  const image = await resource.images.add(name, version, sourceOf(parameters), settings);
  const record = shown(await settledRecord(exchange, image));
  sendJson(exchange, record.status === 'OK' ? 201 : 202, record, { Location: `/images/${record.id}` });
}

/** The one image that a request names. @throws ServiceError BAD_REQUEST, NOT_FOUND */
function named(images: Images, filter: Parameters<'id' | 'name' | 'version'>): Image {
  const isNamed = filter.name !== undefined && filter.version !== undefined;
  const isHalfNamed = !isNamed && (filter.name !== undefined || filter.version !== undefined);
  if (isHalfNamed || (!isNamed && filter.id === undefined)) {
    throw new ServiceError('BAD_REQUEST', 'Which image? Give name and version, or id');
  }
  const image = images.get(filter);
  if (image === undefined) throw new ServiceError('NOT_FOUND', 'There is no such image');
  return image;
}

function editHandler({ images, signatures }: ImageResource): Handler {
  return async (exchange) => {
    const names = ['id', 'name', 'version', ...settingParameters] as const;
    const { id, name, version, ...changes } = await allParameters(exchange, names, settingParameters);
    if (Object.keys(changes).length === 0) {
      throw new ServiceError('BAD_REQUEST', `What is to change? Give at least one of ${settingParameters.join(', ')}`);
    }
    const image = named(images, { ...(id && { id }), ...(name && { name }), ...(version && { version }) });
    sendJson(exchange, 200, shown(await images.edit(image, readImageSettings(changes, signatures()))));
  };
}

/** The handlers of images: list, one by id, add, change, delete. */
export function imageHandlers(
  resource: ImageResource,
): Record<'list' | 'head' | 'get' | 'put' | 'edit' | 'remove', Handler> {
  const { images } = resource;

  const list: Handler = (exchange) => {
    sendJson(exchange, 200, images.list(queryParameters(exchange, filterNames)).map(shown));
  };

  const head: Handler = async (exchange, segments) => {
    if (!exchange.query.has('isoclient')) {
      await list(exchange, segments);
      return;
    }
    const name = required(queryParameters(exchange, putNames), 'isoclient');
    await sendArrived(exchange, resource.isoStore, checkFileName(name, 'isoclient'));
  };

  const get: Handler = (exchange, { id = '' }) => {
    queryParameters(exchange, []);
    const image = images.get({ id });
    if (image === undefined) throw new ServiceError('NOT_FOUND', 'There is no image with this id');
    sendJson(exchange, 200, shown(image.described));
  };

  const put: Handler = async (exchange) => {
    // Where the query says that the body is a file, it is never parsed, whatever its type.
    const isFile = exchange.query.has('isoclient');
    if (isForm(exchange)) {
      await upload(exchange, resource);
      return;
    }
    const parameters = isFile ? queryParameters(exchange, addNames) : await allParameters(exchange, addNames);
    if (sourceOf(parameters).kind !== 'isoclient') await add(exchange, parameters, resource);
    else if (isFile) await upload(exchange, resource);
    else throw new ServiceError('BAD_REQUEST', 'isoclient belongs in the query, and the file in the body');
  };

  const remove: Handler = async (exchange) => {
    const image = named(images, await allParameters(exchange, ['id', 'name', 'version']));
    sendJson(exchange, 200, shown(await images.remove(image)));
  };

  return { list, head, get, put, edit: editHandler(resource), remove };
}
