import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { ServiceError, systemCode } from './errors.js';

const certificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'the service may not read it',
};

/**
 * Refuses a file that a setting names.
 * @param key the setting
 * @throws ServiceError BAD_REQUEST, always
 */
export function refuseFile(key: string, path: string, reason: string, cause?: unknown): never {
  throw new ServiceError('BAD_REQUEST', `${key} ${JSON.stringify(path)}: ${reason}`, { cause });
}

/** @throws ServiceError BAD_REQUEST, naming the key, when the file cannot be read */
export async function readPem(key: string, path: string): Promise<string> {
  return readFile(path, 'latin1').catch((error: unknown) => {
    const code = systemCode(error) ?? '';
    return refuseFile(key, path, reasons[code] ?? `it cannot be read (${code})`, error);
  });
}

/**
 * The certificates of a text in PEM (RFC 7468), in order, at least one.
 * @throws ServiceError BAD_REQUEST, naming the key, when it holds none, or anything else
 */
export function certificatesOf(text: string, key: string, path: string): readonly string[] {
  const own = text.match(certificate) ?? [];
  // One that does not match is one that somebody believes to be trusted.
  if (own.length === 0 || own.length !== text.split('-----BEGIN ').length - 1) {
    refuseFile(key, path, 'it is no file of certificates in PEM');
  }
  for (const [index, pem] of own.entries()) {
    try {
      new X509Certificate(pem);
    } catch (error) {
      refuseFile(key, path, `its certificate number ${index + 1} is malformed`, error);
    }
  }
  return own;
}
