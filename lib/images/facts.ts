import type { SharedIso } from '../mount/mount.js';
import type { BootRecord } from './bootable.js';
import type { KnownFile } from './known-files.js';

/** An image, as far as serving it goes. */
export interface ImageFact extends Omit<BootRecord, 'iso'> {
  readonly id: string;
  /** Its name in the store. */
  readonly isoName?: string | undefined;
  /** Other paths in the URL space. */
  readonly aliases?: readonly string[] | undefined;
  /** What a bundle is made of, as the client named it. */
  readonly bundle?: string | undefined;
  /** Undefined while it is being prepared: requests wait. */
  readonly iso: SharedIso | undefined;
}

/** Where the stores are in the URL space. */
export const places = ['iso', 'common'] as const;
export type Place = (typeof places)[number];

/** Something that other processes have to know to serve the same files; without a value, that it is so no longer. */
export type Fact =
  | { readonly kind: 'image'; readonly key: string; readonly value: ImageFact | undefined }
  /** The key is the name of a file of the store that has this place in the URL space. */
  | { readonly kind: 'file'; readonly place: Place; readonly key: string; readonly value: KnownFile | undefined };

/**
 * Tells other processes a fact; resolves when all of them act by it.
 * @returns why one of them cannot, in words for an operator
 */
export type Tell = (fact: Fact) => Promise<string | undefined>;
