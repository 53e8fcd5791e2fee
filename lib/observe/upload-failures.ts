import { codeOf, type ErrorCode } from '../errors.js';
import type { Application, Exchange } from '../http/exchange.js';
import { isForm } from '../http/form.js';

/** The sources of an image that go over a file in the body. */
const otherSources = ['isostore', 'isolocal', 'isoweb'];

/** Whether the body of a request to the management API is to be a file. */
export function isUpload(exchange: Exchange): boolean {
  const { request, path, query } = exchange;
  if ((request.method !== 'PUT' && request.method !== 'POST') || path.length !== 1) return false;
  if (path[0] === 'iso' || path[0] === 'microkernel') return true;
  if (path[0] !== 'images') return false;
  const isFile = query.has('isoclient') && !otherSources.some((kind) => query.has(kind));
  return isFile || isForm(exchange);
}

/** The same application. @param failed is told the code of each upload that fails, for whatever reason */
export function withUploadFailures(application: Application, failed: (reason: ErrorCode) => void): Application {
  return async (exchange) => {
    if (!isUpload(exchange)) return application(exchange);
    try {
      const isAnswered = await application(exchange);
      if (exchange.failure !== undefined) failed(exchange.failure);
      return isAnswered;
    } catch (error) {
      failed(codeOf(error));
      throw error;
    }
  };
}
