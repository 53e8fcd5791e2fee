import { ServiceError } from '../errors.js';
import { checkUpload, openUpload } from '../http/body.js';
import type { Exchange } from '../http/exchange.js';
import { type Form, isForm, openForm } from '../http/form.js';
import { sendJson } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import { withoutCredentials } from '../images/download.js';
import type { Image } from '../images/image.js';
import type { Images } from '../images/images.js';
import { type ImageRecord, type ImageSource, sourceKinds } from '../images/record.js';
import { checkIso } from '../images/sources.js';
import type { Store } from '../images/store.js';
import type { Log } from '../log.js';
import { checkFileName, checkName } from '../path.js';
import { type Parameters, allParameters, checkParameters, preferredWait, required } from './parameters.js';
import { answerUpload, takeUpload } from './upload.js';

const filterNames = ['id', 'name', 'version', 'iso', 'status'] as const;
const putNames = ['name', 'version', ...sourceKinds] as const;
type PutParameters = Parameters<(typeof putNames)[number]>;

/** A record as clients see it: without the password that a download's URL may hold. */
function shown(record: ImageRecord): ImageRecord {
  const { source } = record;
  if (source?.kind !== 'isoweb') return record;
  return { ...record, source: { ...source, value: withoutCredentials(source.value) } };
}

/** The source of the ISO; where several are given, the first of the documented order. */
function sourceOf(parameters: PutParameters): ImageSource {
  for (const kind of sourceKinds) {
    const value = parameters[kind];
    if (value !== undefined) return { kind, value };
  }
  const message = `A source of the ISO is missing; allowed: one of ${sourceKinds.join(', ')}`;
  throw new ServiceError('BAD_REQUEST', message);
}

export interface ImageResource {
  readonly images: Images;
  readonly store: Store;
  readonly log: Log;
}

class ImageHandlers {
  constructor(private readonly resource: ImageResource) {}

  list(exchange: Exchange): void {
    const filter = checkParameters(exchange.query, filterNames);
    sendJson(exchange, 200, this.resource.images.list(filter).map(shown));
  }

  get(exchange: Exchange, id: string): void {
    checkParameters(exchange.query, []);
    const image = this.resource.images.get({ id });
    if (image === undefined) throw new ServiceError('NOT_FOUND', 'There is no image with this id');
    sendJson(exchange, 200, shown(image.record));
  }

  async remove(exchange: Exchange): Promise<void> {
    const { id, name, version } = await allParameters(exchange, ['id', 'name', 'version']);
    const isNamed = name !== undefined && version !== undefined;
    if (!isNamed && (id === undefined || name !== undefined || version !== undefined)) {
      throw new ServiceError('BAD_REQUEST', 'Which image? Give name and version, or id');
    }
    const image = this.resource.images.get({ ...(isNamed && { name, version }), ...(id !== undefined && { id }) });
    if (image === undefined) throw new ServiceError('NOT_FOUND', 'There is no such image');
    sendJson(exchange, 200, shown(await this.resource.images.remove(image)));
  }

  async put(exchange: Exchange): Promise<void> {
    if (isForm(exchange)) {
      const inQuery = checkParameters(exchange.query, putNames);
      const form = await openForm(exchange);
      const named = { ...checkParameters(form.fields, putNames), ...inQuery };
      await this.#upload(exchange, { isoclient: form.fileName, ...named }, form);
    } else if (exchange.query.has('isoclient')) {
      // The query says that the body is a file, so it is never parsed, whatever its type.
      const parameters = checkParameters(exchange.query, putNames);
      if (sourceOf(parameters).kind === 'isoclient') await this.#upload(exchange, parameters);
      else await this.#add(exchange, parameters);
    } else {
      const parameters = await allParameters(exchange, putNames);
      if (sourceOf(parameters).kind === 'isoclient') {
        throw new ServiceError('BAD_REQUEST', 'isoclient belongs in the query, and the file in the body');
      }
      await this.#add(exchange, parameters);
    }
  }

  async #add(exchange: Exchange, parameters: PutParameters): Promise<void> {
    const name = required(parameters, 'name');
    const version = required(parameters, 'version');
    const image = await this.resource.images.add(name, version, sourceOf(parameters));
    const wait = preferredWait(exchange);
    // The record as it is now: the answer shows the state that the documentation shows.
    const { record } = image;
    const after = wait === undefined ? record : await this.#waited(exchange, image, wait);
    const headers = wait === undefined ? {} : { 'Preference-Applied': `wait=${wait}` };
    sendJson(exchange, after.status === 'OK' ? 201 : 202, shown(after), headers);
  }

  async #waited(exchange: Exchange, image: Image, seconds: number): Promise<ImageRecord> {
    await image.settled(seconds * 1000, exchange.closed);
    return image.record;
  }

  async #upload(exchange: Exchange, parameters: PutParameters, form?: Form): Promise<void> {
    const { images, store, log } = this.resource;
    const name = checkName(required(parameters, 'name'), 'name');
    const version = checkName(required(parameters, 'version'), 'version');
    const source = sourceOf(parameters);
    if (source.kind !== 'isoclient') {
      throw new ServiceError('BAD_REQUEST', `A form with a file cannot have ${source.kind} beside it`);
    }
    const iso = checkFileName(source.value, 'isoclient');
    const length = form === undefined ? checkUpload(exchange.request) : undefined;
    const image = images.claim(name, version, source);
    try {
      const reception = await store.receive(iso, length);
      await answerUpload(exchange, length, log, async (progress) => {
        await takeUpload(reception, () => form?.upload ?? openUpload(exchange), progress, checkIso);
        await images.replaced(iso);
        await images.begin(image);
        await image.settled((preferredWait(exchange) ?? 0) * 1000, exchange.closed);
        return { status: 201, value: shown(image.record) };
      });
    } finally {
      if (!image.listed && !image.leaving) images.abandon(image);
    }
  }
}

/** The handlers of images: list, one by id, add, delete. */
export function imageHandlers(resource: ImageResource): Record<'list' | 'get' | 'put' | 'remove', Handler> {
  const handlers = new ImageHandlers(resource);
  return {
    list: (exchange) => handlers.list(exchange),
    get: (exchange, { id = '' }) => handlers.get(exchange, id),
    put: (exchange) => handlers.put(exchange),
    remove: (exchange) => handlers.remove(exchange),
  };
}
