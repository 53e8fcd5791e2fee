import { ServiceError } from '../errors.js';
import { checkFileName, parsePath, quoted } from '../path.js';

/** Files of the microkernel store by the paths that they have in the image. */
export type BundleFiles = ReadonlyMap<string, string>;

/** Files of one bundle. */
const maxFiles = 200;

function refuse(item: string, allowed: string): never {
  throw new ServiceError('BAD_REQUEST', `bundle ${quoted(item)} is not allowed: ${allowed}`);
}

/** `NAME`, or `PATH=NAME` where a file has another path in the image than its name in the store; percent-encoded. */
function readItem(item: string): [path: string, name: string] {
  const [path = '', name = path, ...more] = item.split('=');
  if (more.length > 0) refuse(item, 'NAME or PATH=NAME, in which %3D is =');
  const place = parsePath(`/${path}`).path.join('/');
  const [stored = '', ...below] = parsePath(`/${name}`).path;
  if (place === '' || below.length > 0) refuse(item, 'NAME or PATH=NAME of a file in the microkernel store');
  return [place, checkFileName(stored, 'bundle')];
}

/**
 * Reads what a bundle is made of: items with spaces between them.
 * @throws ServiceError BAD_REQUEST
 */
export function readBundle(text: string): BundleFiles {
  const items = text.split(/\s+/).filter((item) => item !== '');
  if (items.length > maxFiles) refuse(`${items.length} files`, `at most ${maxFiles}`);
  const files = new Map<string, string>();
  for (const item of items) {
    const [path, name] = readItem(item);
    // What differs by case alone could not be told apart.
    const key = path.toLowerCase();
    for (const other of files.keys()) {
      const known = other.toLowerCase();
      if (known === key) refuse(item, 'each path once, in whatever case');
      if (known.startsWith(`${key}/`) || key.startsWith(`${known}/`))
        refuse(item, 'no path that is a folder of another');
    }
    files.set(path, name);
  }
  return files;
}
