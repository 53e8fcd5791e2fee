import { ServiceError } from '../errors.js';
import type { Exchange } from '../http/exchange.js';
import { send, sendJson } from '../http/reply.js';
import type { Handler } from '../http/router.js';
import { bootableOf } from '../images/bootable.js';
import type { Images } from '../images/images.js';
import { bootAt } from '../recipes/bootable.js';
import { allRecipes, audiences, recipeFor } from '../recipes/recipe.js';
import { queryParameters } from './parameters.js';

/** How an image is booted, for whoever is asked for. */
export function recipeHandler(images: Images, fileServerUrl: (exchange: Exchange) => string): Handler {
  return (exchange, { id = '' }) => {
    const parameters = queryParameters(exchange, ['for', 'entry']);
    const { for: wanted, entry = '0' } = parameters;
    const audience = audiences.find((one) => one === wanted);
    if (wanted !== undefined && audience === undefined) {
      throw new ServiceError('BAD_REQUEST', `for must be one of ${audiences.join(', ')}`);
    }
    if (!/^\d{1,3}$/.test(entry)) throw new ServiceError('BAD_REQUEST', 'entry must be a number: the first is 0');
    const record = images.get({ id })?.described;
    if (record === undefined) throw new ServiceError('NOT_FOUND', 'There is no image with this id');
    const image = bootableOf(record);
    const boot = bootAt(image, Number(entry));
    const server = fileServerUrl(exchange);
    if (audience === undefined) {
      sendJson(exchange, 200, {
        id,
        name: record.name,
        version: record.version,
        boot,
        ...allRecipes(image, boot, server),
      });
      return;
    }
    const recipe = recipeFor(audience, image, boot, server);
    if ('value' in recipe) sendJson(exchange, 200, recipe.value);
    else send(exchange, 200, 'text/plain; charset=utf-8', recipe.text, { 'Cache-Control': 'no-store' });
  };
}
