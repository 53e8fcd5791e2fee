import type { OpenFile } from '../tree.js';
import { fill } from '../tree-content.js';
import { type Kept, Shelf } from './shelf.js';

/** Bytes that are read and kept together. */
export const chunkBytes = 512 * 1024;
/** Files up to so many bytes are kept apart, so that none of them takes the room of a chunk. */
const smallBytes = 16 * 1024;
/** Part of the memory for these. */
const smallPart = 1 / 16;
/** Part of the chunks' memory for who reads alone. */
const lentPart = 1 / 4;

/** Where a chunk lies in what the descriptor leads to, in bytes. */
export interface Place {
  readonly offset: number;
  readonly length: number;
}

/** A chunk in use: its bytes stay as they are until it is given back. */
export interface Chunk {
  readonly bytes: Buffer;
  /**
   * Gives it back; to be called once.
   * @param isUnused false when somebody below may still read the bytes: then their memory is never written again
   */
  release(isUnused: boolean): void;
}

function keyOf({ source }: OpenFile, { offset, length }: Place): string {
  return `${source} ${offset} ${length}`;
}

/**
 * Chunks of files in memory for all who send them. A chunk comes in when it is wanted for the second time within a while:
 * so one client who reads an ISO from end to end does not drive out what everybody wants. From then on it is read once,
 * however many want it at the same time. Bounded also while every client holds one; and what could not be read whole is
 * not kept.
 */
export class ChunkCache {
  readonly #large: Shelf;
  readonly #small: Shelf;

  /**
   * @param bytes of memory, at most; with less than a chunk takes nothing is kept
   * @param read what reads the chunks
   */
  constructor(
    bytes: number,
    private readonly read = fill,
  ) {
    const small = Math.floor((bytes * smallPart) / smallBytes);
    const large = Math.floor((bytes - small * smallBytes) / chunkBytes);
    const lent = Math.floor(large * lentPart);
    this.#large = new Shelf(chunkBytes, large - lent, lent);
    this.#small = new Shelf(smallBytes, large === 0 ? 0 : small);
  }

  /** The bytes of a chunk, if they are in memory. They may change when others get their turn. */
  peek(file: OpenFile, place: Place): Buffer | undefined {
    const kept = this.#shelf(place).find(keyOf(file, place));
    return kept?.reading === undefined ? kept?.bytes : undefined;
  }

  /**
   * Gives a chunk, read first if need be. The descriptor must stay open until the promise has settled; it never rejects.
   * @returns undefined when the chunk cannot be kept, cannot be read or is not worth it: the caller reads for itself
   */
  take(file: OpenFile, place: Place): Chunk | undefined | Promise<Chunk | undefined> {
    const shelf = this.#shelf(place);
    const kept = this.#find(shelf, file, place);
    if (kept === undefined) return undefined;
    kept.users++;
    const chunk = { bytes: kept.bytes, release: (isUnused: boolean) => giveBack(shelf, kept, isUnused) };
    return kept.reading?.then((isWhole) => (isWhole ? chunk : undefined)) ?? chunk;
  }

  /** Lends memory as long as a chunk, for bytes that are not kept; undefined when there is none. */
  borrow(): Buffer | undefined {
    return this.#large.borrow();
  }

  /** @param isUnused as of a chunk */
  giveBack(buffer: Buffer, isUnused: boolean): void {
    this.#large.giveBack(buffer, isUnused);
  }

  #find(shelf: Shelf, file: OpenFile, place: Place): Kept | undefined {
    const key = keyOf(file, place);
    const found = shelf.find(key);
    if (found !== undefined) return found;
    if (!shelf.wasWanted(key)) return undefined;
    const kept = shelf.add(key, place.length);
    if (kept !== undefined) kept.reading = this.#read(shelf, kept, file.descriptor, place.offset);
    return kept;
  }

  async #read(shelf: Shelf, kept: Kept, descriptor: number, offset: number): Promise<boolean> {
    // Who wants just a part of it may yet get that: the error is for those whose own reading fails.
    const filled = await this.read(kept.bytes, descriptor, offset).catch(() => 0);
    kept.reading = undefined;
    const isWhole = filled === kept.bytes.length;
    if (!isWhole) {
      shelf.remove(kept);
      shelf.free(kept);
    }
    return isWhole;
  }

  #shelf({ length }: Place): Shelf {
    return length <= smallBytes ? this.#small : this.#large;
  }
}

function giveBack(shelf: Shelf, kept: Kept, isUnused: boolean): void {
  kept.users--;
  if (!isUnused) {
    kept.isLost = true;
    shelf.remove(kept);
  }
  if (kept.isLost && kept.users === 0) shelf.free(kept);
}
