import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { type Entry, type Kind, type ScryptCost, maxScryptBytes } from './entries.js';

const hashBytes = 32;

/** scrypt (RFC 7914), 32 bytes of it; in tests, something that counts its calls. */
export type Scrypt = (secret: string, salt: Buffer, cost: ScryptCost) => Promise<Buffer>;

/** Node's, on a thread of its pool. */
export const systemScrypt: Scrypt = (secret, salt, cost) =>
  new Promise((resolve, reject) => {
    // OpenSSL counts some more beside the 128 × N × r bytes.
    const options = { ...cost, maxmem: 2 * maxScryptBytes };
    scrypt(secret, salt, hashBytes, options, (error, hash) => (error ? reject(error) : resolve(hash)));
  });

/**
 * What a new hash costs. A token cannot be guessed, whatever a guess costs: 16 MiB and some 50 ms. For a password it is
 * what OWASP's Password Storage Cheat Sheet asks for: 32 MiB, three times.
 */
export const scryptCosts: Readonly<Record<Kind, ScryptCost>> = {
  token: { N: 2 ** 14, r: 8, p: 1 },
  password: { N: 2 ** 15, r: 8, p: 3 },
};

/** Hashes a secret with a new salt, as an entry keeps it. */
export async function hashSecret(
  secret: string,
  kind: Kind,
  hash: Scrypt = systemScrypt,
): Promise<Pick<Entry, 'salt' | 'hash' | 'scrypt'>> {
  const salt = randomBytes(16);
  const cost = scryptCosts[kind];
  const hashed = await hash(secret, salt, cost);
  return { salt: salt.toString('base64url'), hash: hashed.toString('base64url'), scrypt: cost };
}

/** Whether a secret is the one of an entry; compared in constant time. */
export async function isSecretOf(
  entry: Pick<Entry, 'salt' | 'hash' | 'scrypt'>,
  secret: string,
  hash: Scrypt,
): Promise<boolean> {
  const hashed = await hash(secret, Buffer.from(entry.salt, 'base64url'), entry.scrypt);
  return timingSafeEqual(hashed, Buffer.from(entry.hash, 'base64url'));
}

/** A token in its parts. The id finds its entry, and is no secret; the secret is what was hashed. */
export interface TokenParts {
  readonly id: string;
  readonly secret: string;
}

// Scanners for leaked secrets, and people, know it by its beginning.
const tokenPattern = /^image-service_([\w-]{12})_([\w-]{43})$/;

/** Makes a token: an id of 9 random bytes, a secret of 32. */
export function makeToken(): TokenParts {
  return { id: randomBytes(9).toString('base64url'), secret: randomBytes(32).toString('base64url') };
}

/** A token as its holder has it. */
export function formatToken({ id, secret }: TokenParts): string {
  return `image-service_${id}_${secret}`;
}

/** The parts of a token; undefined for what is none of ours. */
export function parseToken(text: string): TokenParts | undefined {
  const [, id, secret] = tokenPattern.exec(text) ?? [];
  return id === undefined || secret === undefined ? undefined : { id, secret };
}
