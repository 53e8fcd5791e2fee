import { ServiceError } from '../errors.js';
import { formatSize } from '../http/listing.js';
import { sendJson } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import type { Images } from '../images/images.js';
import type { ImageRecord } from '../images/record.js';
import type { Store, StoredFile } from '../images/store.js';
import type { Log } from '../log.js';
import { checkFileName } from '../path.js';
import { allParameters, queryParameters, required } from './parameters.js';
import { announcedUpload, claim, receiveUpload, sendArrived } from './upload.js';

export interface FileResource {
  readonly store: Store;
  readonly log: Log;
  readonly maxUploadBytes: () => number;
  /** Of ISOs: those that are made from one show its new files when it is replaced. */
  readonly images?: Images;
  /** Records of the images that need a file. */
  readonly usersOf: (name: string) => readonly ImageRecord[];
}

/** A stored file as clients see it; ISOs say `upload` as documented and `uploaded` as released. */
export function fileRecord({ name, bytes, modified, sha256 }: StoredFile, isIso: boolean) {
  const uploaded = modified.toISOString();
  return { name, size: formatSize(bytes), ...(isIso && { upload: uploaded }), uploaded, bytes, sha256 };
}

/** The handlers of a flat store of files: list, upload, delete. */
export function fileHandlers({
  store,
  log,
  images,
  usersOf,
  maxUploadBytes,
}: FileResource): Record<'list' | 'head' | 'put' | 'remove', Handler> {
  const record = (file: StoredFile) => fileRecord(file, images !== undefined);

  const list: Handler = async (exchange) => {
    const { name } = queryParameters(exchange, ['name']);
    const files = await store.list();
    sendJson(exchange, 200, files.filter((file) => name === undefined || file.name === name).map(record));
  };

  const head: Handler = async (exchange, segments) => {
    const { name } = queryParameters(exchange, ['name']);
    if (name === undefined) await list(exchange, segments);
    else await sendArrived(exchange, store, checkFileName(name, 'name'));
  };

  const put: Handler = async (exchange) => {
    const announced = await announcedUpload(exchange, ['name'], maxUploadBytes());
    const name = checkFileName(required(announced.parameters, 'name'), 'name');
    const before = await store.find(name);
    const arriving = await claim(exchange, () => store.receive(name, announced));
    await receiveUpload(exchange, announced, arriving, log, async () => {
      log.info(`${name}: uploaded, ${arriving.bytes} bytes`);
      await images?.replaced(name);
      const file = await store.find(name);
      const location = `/${exchange.path.join('/')}?name=${encodeURIComponent(name)}`;
      return { status: before === undefined ? 201 : 200, value: file && record(file), location };
    });
  };

  const remove: Handler = async (exchange) => {
    const name = checkFileName(required(await allParameters(exchange, ['name']), 'name'), 'name');
    const users = usersOf(name).map((user) => `${user.name} ${user.version}`);
    if (users.length > 0)
      throw new ServiceError('IN_USE', `${name} is in use by ${users.join(', ')}; delete that first`);
    const file = await store.remove(name);
    log.info(`${name}: deleted`);
    sendJson(exchange, 200, record(file));
  };

  return { list, head, put, remove };
}
