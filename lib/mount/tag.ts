import { createHash } from 'node:crypto';

function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}

/**
 * What stands for the bytes of a whole .iso and the tree that is shown of it.
 * @param digest SHA-256 of the .iso
 * @param otherwise without a digest, what tells this .iso from another one here: a changed file has another time or size
 */
export function tagBaseOf(digest: string | undefined, view: string, ...otherwise: readonly unknown[]): string {
  return shortHash(digest === undefined ? `file ${view} ${otherwise.join(' ')}` : `digest ${view} ${digest}`);
}

/** The strong validator of one file of an .iso: the same whichever driver serves it. */
export function tagOf(base: string, path: string, size: number): string {
  return `${shortHash(`${base} ${path}`)}-${size.toString(36)}`;
}
