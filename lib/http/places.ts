import { type Clock, systemClock } from './clock.js';

/** A connection, as far as its place is concerned. */
export interface Guest {
  /** Whether it comes again by itself when it is told to, so that it need not wait. */
  readonly returns: boolean;
  /** Its request is answered now. */
  serve(): void;
  /** Its request waits until `serve` or `refuse`. */
  wait(): void;
  /** It is told to come later. */
  refuse(): void;
  /** Its connection is closed. */
  close(): void;
}

/** A thousand machines may connect in one moment, before any of their requests has been read. */
const minNewcomers = 4096;

/**
 * Who of the connections of a server is served, and who waits for a place, first come, first served.
 *
 * A connection has a place from its first request until it closes, idle or not. In line are at most as many as there
 * are places. Those that have not asked yet and those that were refused are neither, and bounded too.
 */
export class Places {
  readonly #served = new Set<Guest>();
  readonly #waiting = new Set<Guest>();
  readonly #outside = new Set<Guest>();
  /** The served ones that ask for nothing, and since when: the one that has been idle longest comes first. */
  readonly #idle = new Map<Guest, number>();
  #cancel: (() => void) | undefined;
  #isClosed = false;

  /**
   * @param promised milliseconds for which an idle connection is kept even when others wait
   * @param newcomers how many may have no place and not wait; when more come, the oldest of them is closed
   */
  constructor(
    readonly limit: number,
    readonly promised: number,
    readonly clock: Clock = systemClock,
    readonly newcomers = Math.max(limit, minNewcomers),
  ) {}

  /** Whether a connection that has been answered gives its place to somebody else. */
  get isWanted(): boolean {
    return this.#isClosed || this.#waiting.size > 0;
  }

  /** A connection has come. */
  enter(guest: Guest): void {
    this.#outside.add(guest);
    if (this.#outside.size <= this.newcomers) return;
    const [oldest = guest] = this.#outside;
    this.#outside.delete(oldest);
    oldest.close();
  }

  /** A connection has asked for something, and for nothing else before that is not answered. */
  ask(guest: Guest): void {
    if (this.#served.has(guest)) {
      this.#idle.delete(guest);
      guest.serve();
      return;
    }
    this.#outside.delete(guest);
    if (this.#served.size < this.limit && !this.isWanted) this.#seat(guest);
    else if (guest.returns || this.#isClosed || this.#waiting.size >= this.limit) this.refuse(guest);
    else {
      this.#waiting.add(guest);
      guest.wait();
      this.#makeRoom();
    }
  }

  /** All that a connection has asked for is answered. */
  rest(guest: Guest): void {
    if (!this.#served.has(guest)) return;
    this.#idle.set(guest, this.clock.now());
    if (this.#isClosed) guest.close();
    else this.#makeRoom();
  }

  /** A connection that waits is told to come later. */
  refuse(guest: Guest): void {
    this.#waiting.delete(guest);
    this.enter(guest);
    guest.refuse();
    this.#makeRoom();
  }

  /** A connection is gone. */
  leave(guest: Guest): void {
    this.#outside.delete(guest);
    this.#waiting.delete(guest);
    this.#idle.delete(guest);
    if (this.#served.delete(guest)) this.#seatNext();
    this.#makeRoom();
  }

  /** Nobody gets a place any more: idle connections are closed, now and when they become idle; who waits is refused. */
  close(): void {
    this.#isClosed = true;
    for (const guest of [...this.#waiting]) this.refuse(guest);
    for (const guest of [...this.#idle.keys()]) guest.close();
    this.#stopTimer();
  }

  #seat(guest: Guest): void {
    this.#served.add(guest);
    guest.serve();
  }

  #seatNext(): void {
    const [next] = this.#waiting;
    if (next === undefined || this.#isClosed) return;
    this.#waiting.delete(next);
    this.#seat(next);
  }

  /** Closes who has been idle for long enough, while somebody waits, or sees to it when the first one will have been. */
  #makeRoom(): void {
    this.#stopTimer();
    for (const [guest, since] of this.#idle) {
      if (this.#waiting.size === 0) return;
      const left = since + this.promised - this.clock.now();
      if (left > 0) {
        this.#cancel = this.clock.after(Math.ceil(left), () => this.#makeRoom());
        return;
      }
      this.#idle.delete(guest);
      this.#served.delete(guest);
      guest.close();
      this.#seatNext();
    }
  }

  #stopTimer(): void {
    this.#cancel?.();
    this.#cancel = undefined;
  }
}
