import { PassThrough, type Readable } from 'node:stream';
import busboy from 'busboy';
import { ServiceError, messageOf } from '../errors.js';
import { type Upload, checkUpload, mediaTypeOf } from './body.js';
import { type Exchange, invite } from './exchange.js';

/** A browser's form: the fields before the file, the file's own name, and the file. */
export interface Form {
  readonly fields: readonly (readonly [string, string])[];
  readonly fileName: string;
  readonly upload: Upload;
}

export function isForm(exchange: Exchange): boolean {
  return mediaTypeOf(exchange.request) === 'multipart/form-data';
}

const broken = (error: unknown) => new ServiceError('BAD_REQUEST', `The form is not valid: ${messageOf(error)}`);

function parserOf(exchange: Exchange): busboy.Busboy {
  try {
    // Browsers send names in UTF-8 without saying so; busboy would read them as Latin-1.
    return busboy({
      headers: exchange.request.headers,
      defParamCharset: 'utf8',
      limits: { files: 1, fields: 32, fieldSize: 4096, parts: 64 },
    });
  } catch (error) {
    throw broken(error);
  }
}

/** The file of a form, whose failure is one of the form and not of the service. */
function fileOf(part: Readable): Readable {
  const file = new PassThrough();
  // It may fail before anybody reads it; whoever then does is told what it was destroyed with.
  file.on('error', () => undefined);
  part.on('error', (error) => file.destroy(broken(error)));
  file.once('close', () => part.destroy());
  return part.pipe(file);
}

/**
 * Opens a `multipart/form-data` body (RFC 7578) at its first file. Fields behind the file are not read.
 * @throws ServiceError BAD_REQUEST (not a form, or one without a file) and the errors of `checkUpload`
 */
export async function openForm(exchange: Exchange): Promise<Form> {
  const { request } = exchange;
  checkUpload(request);
  if (request.headers['content-range'] !== undefined) {
    throw new ServiceError(
      'BAD_REQUEST',
      'Content-Range: a form is sent as a whole; send the file itself to continue it',
    );
  }
  const parser = parserOf(exchange);
  const fields: [string, string][] = [];
  // Whatever its types say: a field without a name comes as undefined.
  parser.on('field', (name: string | undefined, value) => fields.push([name ?? '', value]));
  const closed = new Promise<void>((resolve, reject) => {
    parser.once('close', resolve);
    // Each time: one that has failed fails again when its client leaves, and an error that nobody hears ends the process.
    parser.on('error', (error: unknown) => reject(broken(error)));
    // `pipe` tells its target nothing of a source that dies, and the target would wait for ever.
    request.once('close', () => {
      if (!request.complete) parser.destroy(new Error('it ended early'));
    });
  });
  closed.catch(() => undefined);
  const found = new Promise<Omit<Form, 'upload'> & { stream: Readable }>((resolve) => {
    parser.once('file', (_name, part, info) => {
      // A copy of the fields: those behind the file may come with it.
      resolve({ fields: [...fields], fileName: info.filename ?? '', stream: fileOf(part) });
    });
  });
  invite(exchange);
  request.pipe(parser);
  const none = closed.then(() => {
    throw new ServiceError('BAD_REQUEST', 'The form has no file');
  });
  const { stream, ...form } = await Promise.race([found, none]);
  // The file's part can end before the form is known to be whole.
  return { ...form, upload: { stream, complete: () => closed } };
}
