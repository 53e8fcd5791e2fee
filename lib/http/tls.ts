import { constants, createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { messageOf } from '../errors.js';
import { certificatesOf, readPem, refuseFile } from '../pem.js';

/** Paths of files in PEM. */
export interface TlsFiles {
  /** The certificate, and behind it those between it and its authority. */
  readonly cert: string;
  readonly key: string;
  /** The authorities of the clients. */
  readonly ca?: string;
}

/** What is in them. */
export type TlsTexts = TlsFiles;

function checkKey(text: string, key: string, path: string, cert: X509Certificate): void {
  if (text.includes('ENCRYPTED')) refuseFile(key, path, 'it is encrypted, and nobody is there to ask for its password');
  let read;
  try {
    read = createPrivateKey(text);
  } catch (error) {
    refuseFile(key, path, 'it is no private key in PEM', error);
  }
  if (!cert.checkPrivateKey(read)) refuseFile(key, path, 'it is not the key of the certificate');
}

/**
 * Reads what an endpoint proves itself with, and whom it trusts.
 * @param at what the setting is called
 * @throws ServiceError BAD_REQUEST, naming the key and the file, when one cannot be read, is not what it has to be, or
 * they do not belong together
 */
export async function readTls(files: TlsFiles, at: string): Promise<TlsTexts> {
  const cert = await readPem(`${at}.cert`, files.cert);
  const [own = ''] = certificatesOf(cert, `${at}.cert`, files.cert);
  const key = await readPem(`${at}.key`, files.key);
  checkKey(key, `${at}.key`, files.key, new X509Certificate(own));
  const ca = files.ca === undefined ? undefined : await readPem(`${at}.ca`, files.ca);
  if (ca !== undefined && files.ca !== undefined) certificatesOf(ca, `${at}.ca`, files.ca);
  const texts = { cert, key, ...(ca !== undefined && { ca }) };
  try {
    createSecureContext(contextOptions(texts));
  } catch (error) {
    // Such as a key that is too short by today's standards.
    refuseFile(`${at}.cert`, files.cert, messageOf(error), error);
  }
  return texts;
}

/** What Node makes of them. */
export function contextOptions({ cert, key, ca }: TlsTexts): SecureContextOptions {
  if (ca === undefined) return { cert, key };
  // Who resumes a session shows no certificate, so that it would not be judged again.
  return { cert, key, ca, secureOptions: constants.SSL_OP_NO_TICKET };
}

/** A certificate in words for a log, and, when it is not valid now, why. */
export function describeCertificate(texts: TlsTexts, now = new Date()): { words: string; problem: string | undefined } {
  const certificate = new X509Certificate(texts.cert);
  const { validFrom, validTo } = certificate;
  // One that has names in its extension alone has no subject, which the types do not know.
  const subject: unknown = certificate.subject;
  const name = typeof subject === 'string' ? subject.replaceAll('\n', ', ') : 'without a subject';
  const words = `${name}, valid until ${validTo}`;
  if (now < new Date(validFrom)) return { words, problem: `the certificate is not valid before ${validFrom}` };
  if (now > new Date(validTo)) return { words, problem: `the certificate has expired on ${validTo}` };
  return { words, problem: undefined };
}

/** What an endpoint proves itself with, which can be renewed while it is open. */
export class Credentials {
  #texts: TlsTexts;
  readonly #users = new Set<(texts: TlsTexts) => void>();

  constructor(texts: TlsTexts) {
    this.#texts = texts;
  }

  get texts(): TlsTexts {
    return this.#texts;
  }

  /** Whoever connects from now on sees the new ones; connections that are open stay. */
  renew(texts: TlsTexts): void {
    this.#texts = texts;
    for (const use of this.#users) use(texts);
  }

  /**
   * @param use told each renewal
   * @returns ends that
   */
  onRenewal(use: (texts: TlsTexts) => void): () => void {
    this.#users.add(use);
    return () => void this.#users.delete(use);
  }
}
