import { rootCertificates } from 'node:tls';
import { certificatesOf, readPem } from '../pem.js';

/**
 * The certificates that https downloads trust: Node's own roots, and those of a file.
 * @param path `tlsCaFile`: one or more certificates in PEM (RFC 7468)
 * @throws ServiceError BAD_REQUEST, naming the key, when the file cannot be read or holds anything but certificates
 */
export async function readAuthorities(path: string): Promise<readonly string[]> {
  return [...rootCertificates, ...certificatesOf(await readPem('tlsCaFile', path), 'tlsCaFile', path)];
}
