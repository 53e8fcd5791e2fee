import { basename } from 'node:path';
import type { ImageRecord } from './record.js';

/** What of a record says how the image is booted. */
export type BootRecord = Pick<ImageRecord, 'name' | 'version'> & {
  readonly [Name in 'iso' | 'os' | 'boot' | 'args' | 'createdAt']?: ImageRecord[Name] | undefined;
};

/** What is told of an image to whoever hands out recipes: its ISO is in the store, as a file or as a link, by its own name. */
export function bootableOf({ name, version, iso, os, boot, args, createdAt }: BootRecord) {
  return { name, version, iso: iso === undefined || iso === '' ? undefined : basename(iso), os, boot, args, createdAt };
}
