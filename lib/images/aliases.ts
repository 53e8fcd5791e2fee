import type { Match } from '../tree.js';

/** What an alias leads to, and how many segments of the path it takes. */
export interface Aliased<T> {
  readonly image: T;
  readonly depth: number;
}

const folded = (text: string, match: Match) => (match === 'exact' ? text : text.toLowerCase());

/** Other paths of images in the URL space: each leads to the root of its image. */
export class Aliases<T> {
  readonly #places: Readonly<Record<Match, Map<string, T>>> = { exact: new Map(), 'any-case': new Map() };
  #deepest = 0;

  /** @param entries aliases, with a slash between their segments; of several that differ by case alone the first one wins */
  constructor(entries: Iterable<readonly [alias: string, image: T]>) {
    for (const [alias, image] of entries) {
      this.#deepest = Math.max(this.#deepest, alias.split('/').length);
      for (const match of ['exact', 'any-case'] as const) {
        const key = folded(alias, match);
        if (!this.#places[match].has(key)) this.#places[match].set(key, image);
      }
    }
  }

  /** The longest alias that a path begins with. */
  find(path: readonly string[], match: Match): Aliased<T> | undefined {
    for (let depth = Math.min(path.length, this.#deepest); depth > 0; depth--) {
      const image = this.#places[match].get(folded(path.slice(0, depth).join('/'), match));
      if (image !== undefined) return { image, depth };
    }
    return undefined;
  }
}
