import type { Place } from './facts.js';
import type { ImageRecord } from './record.js';
import type { StoredFile } from './store.js';

/** How far a file is that arrives in a store. */
export interface Transfer {
  readonly place: Place;
  /** Of the file, when it is whole. */
  readonly name: string;
  readonly bytes: number;
  /** Bytes of the whole file, when they are known. */
  readonly total: number | undefined;
  /** Bytes a second. */
  readonly rate: number;
  /** Whether nothing more comes: the file is in its place, or what came of it has broken off. */
  readonly hasEnded: boolean;
}

/** Something that a client would see differently from now on. */
export type Change =
  | { readonly kind: 'image'; readonly record: ImageRecord }
  /** With the record as it was. */
  | { readonly kind: 'image-removed'; readonly record: ImageRecord }
  | { readonly kind: 'file'; readonly place: Place; readonly file: StoredFile }
  | { readonly kind: 'file-removed'; readonly place: Place; readonly name: string }
  | { readonly kind: 'progress'; readonly transfer: Transfer };

export type Listener = (change: Change) => void;

/** What changes about images and files, for whoever wants to know (publish and subscribe). */
export class Changes {
  readonly #listeners = new Set<Listener>();

  /** @param report is told what a listener throws: whoever publishes has no part in it */
  constructor(private readonly report: (error: unknown) => void) {}

  /** Tells everybody who listens, in the order in which they came. */
  publish(change: Change): void {
    for (const listener of this.#listeners) {
      try {
        listener(change);
      } catch (error) {
        this.report(error);
      }
    }
  }

  /** @returns ends it */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}
