import { type Reader, refuse } from './config-keys.js';

/** The URL of the file server, without a slash at its end; undefined for null. */
export const publicUrlOrNone: Reader<string | undefined> = (value, at) => {
  if (value === null) return undefined;
  const url = typeof value === 'string' && URL.canParse(value) ? new URL(value) : undefined;
  const isHttp = url?.protocol === 'http:' || url?.protocol === 'https:';
  const isPlain = url?.username === '' && url.password === '' && url.search === '' && url.hash === '';
  // In scripts of boot loaders it stands beside other words.
  if (url !== undefined && isHttp && isPlain && /^[\w.~:/%[\]-]+$/.test(url.href)) return url.href.replace(/\/+$/, '');
  return refuse(at, value, 'a URL such as http://10.1.0.1:9090, of http or https, without user, query and fragment');
};

/** The name and version of an image, with a slash between them; undefined for null. */
export const imagePlaceOrNone: Reader<string | undefined> = (value, at) => {
  if (value === null) return undefined;
  return typeof value === 'string' && /^[^/]+\/[^/]+$/.test(value)
    ? value
    : refuse(at, value, 'NAME/VERSION of an image');
};
