import { type Clock, systemClock } from './clock.js';

/** How fast bytes may go out. */
export interface Pace {
  /** The most that is written at once. */
  readonly bytes: number;
  /** Resolves when so many bytes may go out: first come, first served. */
  take(bytes: number): Promise<void>;
}

/** Tells how fast bytes may go out to each client. */
export interface Rates {
  /** The pace of one answer to an address, undefined for any. Whoever asks for it releases it. */
  paceOf(address: string): ClientPace | undefined;
}

/** A pace that whoever asked for it gives back. */
export interface ClientPace extends Pace {
  /** Ends its use, once or more often: what still waits in `take` resolves at once. */
  release(): void;
}

interface Take {
  readonly pace: object;
  readonly bytes: number;
  readonly resolve: () => void;
}

const millisecondsPerSecond = 1000;
/** A client that was silent may have so much of a second at once. */
const burst = 1 / 10;
/** Less than the burst: what a late timer has lost is made up for by the next one. */
const piece = 1 / 20;

/** The most bytes that a client with this rate gets at once. */
export function pieceOf(bytesPerSecond: number): number {
  return Math.max(1, Math.floor(bytesPerSecond * piece));
}

/** What one client address may have: bytes come in at the rate, up to the burst, and go out to who asked first. */
class Bucket {
  readonly #takes: Take[] = [];
  #level: number;
  #filled: number;
  #cancel: (() => void) | undefined;
  users = 0;

  /** @param empty is called when nobody uses it and it is as good as new */
  constructor(
    readonly rate: number,
    readonly clock: Clock,
    readonly empty: () => void,
  ) {
    this.#level = this.#capacity;
    this.#filled = clock.now();
  }

  get #capacity(): number {
    return Math.max(1, this.rate * burst);
  }

  take(take: Take): void {
    this.#takes.push(take);
    this.#turn();
  }

  release(pace: object): void {
    const own = this.#takes.filter((take) => take.pace === pace);
    for (const take of own) {
      this.#takes.splice(this.#takes.indexOf(take), 1);
      take.resolve();
    }
    this.users -= 1;
    this.#turn();
  }

  #fill(): void {
    const now = this.clock.now();
    const gained = ((now - this.#filled) * this.rate) / millisecondsPerSecond;
    this.#level = Math.min(this.#capacity, this.#level + gained);
    this.#filled = now;
  }

  #turn(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#fill();
    let [next] = this.#takes;
    // More than the capacity never gathers: it is lent, and the next one waits longer.
    for (; next !== undefined && this.#lacks(next.bytes) <= 0; [next] = this.#takes) {
      this.#takes.shift();
      this.#level -= next.bytes;
      next.resolve();
    }
    // Forgotten sooner, a client would have a burst for each of its requests.
    const lacking = next === undefined ? this.#lacks(this.#capacity) : this.#lacks(next.bytes);
    if (next === undefined && this.users > 0) return;
    if (next === undefined && lacking <= 0) this.empty();
    else this.#wait(lacking);
  }

  #lacks(bytes: number): number {
    return Math.min(bytes, this.#capacity) - this.#level;
  }

  #wait(lacking: number): void {
    const milliseconds = Math.ceil((lacking * millisecondsPerSecond) / this.rate);
    this.#cancel = this.clock.after(milliseconds, () => this.#turn());
  }
}

/** Bytes a second for each client address, whatever the number of its connections. */
export class RateLimit implements Rates {
  readonly #buckets = new Map<string, Bucket>();

  constructor(
    readonly bytesPerSecond: number,
    readonly clock: Clock = systemClock,
  ) {}

  /** How many addresses are remembered: those in use, and those whose last bytes are not a tenth of a second old. */
  get addresses(): number {
    return this.#buckets.size;
  }

  /** The pace is shared with all other answers to the address. */
  paceOf(address: string): ClientPace {
    const bucket = this.#bucketOf(address);
    bucket.users += 1;
    let released = false;
    const pace: ClientPace = {
      bytes: pieceOf(this.bytesPerSecond),
      take: (bytes) => (released ? Promise.resolve() : new Promise((resolve) => bucket.take({ pace, bytes, resolve }))),
      release: () => {
        if (released) return;
        released = true;
        bucket.release(pace);
      },
    };
    return pace;
  }

  #bucketOf(address: string): Bucket {
    const known = this.#buckets.get(address);
    if (known !== undefined) return known;
    const bucket = new Bucket(this.bytesPerSecond, this.clock, () => this.#buckets.delete(address));
    this.#buckets.set(address, bucket);
    return bucket;
  }
}

/** A limit that changes from time to time. An answer keeps the pace that it began with. */
export class ChangingRateLimit implements Rates {
  #limit: RateLimit | undefined;

  /** @param bytesPerSecond for each client address, as it is now; 0: no limit */
  constructor(
    private readonly bytesPerSecond: () => number,
    private readonly clock: Clock = systemClock,
  ) {}

  paceOf(address: string): ClientPace | undefined {
    const rate = this.bytesPerSecond();
    if (rate === 0) return undefined;
    if (rate !== this.#limit?.bytesPerSecond) this.#limit = new RateLimit(rate, this.clock);
    return this.#limit.paceOf(address);
  }
}
