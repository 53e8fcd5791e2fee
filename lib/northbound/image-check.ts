import { ServiceError } from '../errors.js';
import { sendJson } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import type { Images } from '../images/images.js';
import { Slots } from '../slots.js';
import { check } from '../systems/check.js';
import { queryParameters } from './parameters.js';

/** Checks at a time: each reads a disc from end to end. */
const atOnce = 2;

/** What a machine would miss that boots from an image. */
export function checkHandler(images: Images): Handler {
  const slots = new Slots(atOnce);
  return async (exchange, { id = '' }) => {
    queryParameters(exchange, []);
    const image = images.get({ id });
    if (image === undefined) throw new ServiceError('NOT_FOUND', 'There is no image with this id');
    const { tree, record, title } = image;
    if (image.pending) throw new ServiceError('UNAVAILABLE', `${title} is still being prepared; ask again soon`);
    if (tree === undefined) throw new ServiceError('NOT_FOUND', `${title} is failed: there is nothing to check`);
    const { boot = [], view = '' } = record;
    const report = await slots.run(() => check({ tree, boot, view }, exchange.closed));
    sendJson(exchange, 200, { id, name: record.name, version: record.version, ...report });
  };
}
