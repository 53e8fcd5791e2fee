import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { rootCertificates } from 'node:tls';
import { ServiceError, systemCode } from '../errors.js';

const certificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

const reasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'the service may not read it',
};

function refuse(path: string, reason: string, cause: unknown): never {
  throw new ServiceError('BAD_REQUEST', `tlsCaFile ${JSON.stringify(path)}: ${reason}`, { cause });
}

/**
 * The certificates that https downloads trust: Node's own roots, and those of a file.
 * @param path `tlsCaFile`: one or more certificates in PEM (RFC 7468)
 * @throws ServiceError BAD_REQUEST, naming the key, when the file cannot be read or holds anything but certificates
 */
export async function readAuthorities(path: string): Promise<readonly string[]> {
  const text = await readFile(path, 'latin1').catch((error: unknown) => {
    const code = systemCode(error) ?? '';
    return refuse(path, reasons[code] ?? `it cannot be read (${code})`, error);
  });
  const own = text.match(certificate) ?? [];
  // One that does not match is one that somebody believes to be trusted.
  if (own.length === 0 || own.length !== text.split('-----BEGIN ').length - 1) {
    refuse(path, 'it is no file of certificates in PEM', undefined);
  }
  for (const [index, pem] of own.entries()) {
    try {
      new X509Certificate(pem);
    } catch (error) {
      refuse(path, `its certificate number ${index + 1} is malformed`, error);
    }
  }
  return [...rootCertificates, ...own];
}
