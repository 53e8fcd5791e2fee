import { accessLine, shownTarget } from './access-line.js';
import type { Transfer } from './report.js';

/** An answer that has ended, of one that reads a file. */
export interface Answered {
  readonly method: string;
  readonly status: number;
  readonly bytes: number;
  /** `name/version` of the image. */
  readonly item: string | undefined;
}

/** Times are milliseconds of `performance.now()`. */
export interface SessionOptions {
  /** Is given each session that has ended, for the access log. */
  ended(session: Session): void;
  /** Sessions that wait for more requests, at the most. */
  readonly most?: number;
  /** Milliseconds without a request after which there will be none. */
  readonly silence?: number;
}

/** Characters of a target: a longer one is cut, as thousands are remembered. */
const longestTarget = 2000;
const silentEnough = 5000;
const usualMost = 10_000;
/** Milliseconds: a rate that is taken over less says nothing. */
const shortestSpan = 500;

/** One client that reads one file, by one request or by thousands. */
export class Session {
  #method = '';
  #status = 0;
  #requests = 0;
  #bytes = 0;
  #rate = 0;
  #seen = 0;
  #seenAt: number;
  #live = 0;
  item: string | undefined;
  last: number;
  /** Whether it reads by ranges: then more can come, also on other connections. */
  isRanged = false;
  isEnded = false;
  /** Connections whose last request was of this session. */
  holders = 0;
  /** Answers that were under way at the last look. */
  active = 0;

  constructor(
    readonly client: string,
    readonly target: string,
    readonly began: number,
  ) {
    this.last = began;
    this.#seenAt = began;
  }

  get requests(): number {
    return this.#requests;
  }

  /** Whether something is on its way, or, of ranges, will soon be. */
  get goesOn(): boolean {
    return this.active > 0 || this.isRanged;
  }

  add({ method, status, bytes, item }: Answered, now: number): void {
    // HEAD only prepares for what follows.
    if (this.#method !== 'GET') this.#method = method;
    this.#status = Math.max(this.#status, status);
    this.#requests++;
    this.#bytes += bytes;
    this.item = item;
    this.last = now;
    if (status === 206) this.isRanged = true;
  }

  /** Begins a look at what is under way. */
  look(): void {
    this.active = 0;
    this.#live = this.#bytes;
  }

  /** An answer is under way, with so many bytes so far. */
  see(bytes: number, item: string | undefined): void {
    this.active++;
    this.#live += bytes;
    this.item = item;
  }

  /** Ends the look. */
  measure(now: number): void {
    const span = now - this.#seenAt;
    if (span < shortestSpan) return;
    this.#rate = Math.round((Math.max(0, this.#live - this.#seen) * 1000) / span);
    this.#seen = this.#live;
    this.#seenAt = now;
  }

  get transfer(): Transfer {
    const { client, item } = this;
    const since = Math.round(performance.timeOrigin + this.began);
    const image = item === undefined ? {} : { image: item };
    return {
      direction: 'send',
      client,
      ...image,
      file: shownTarget(this.target),
      bytes: this.#live,
      rate: this.#rate,
      since,
    };
  }

  get line(): string {
    return accessLine({
      client: this.client,
      method: this.#method,
      target: this.target,
      status: this.#status,
      bytes: this.#bytes,
      milliseconds: this.last - this.began,
      requests: this.#requests,
    });
  }
}

/** Who reads what: a client that reads a file by ranges makes thousands of requests, and one line in the access log. */
export class Sessions {
  readonly #clients = new Map<string, Map<string, Session>>();
  readonly #all = new Set<Session>();

  constructor(private readonly options: SessionOptions) {}

  get size(): number {
    return this.#all.size;
  }

  /** The session of a client and a target, which begins where there is none. */
  at(client: string, target: string, began: number): Session {
    const key = target.length > longestTarget ? `${target.slice(0, longestTarget)}…` : target;
    const known = this.#clients.get(client)?.get(key);
    if (known !== undefined) return known;
    if (this.#all.size >= (this.options.most ?? usualMost)) this.#endOldest();
    const session = new Session(client, key, began);
    const targets = this.#clients.get(client) ?? new Map<string, Session>();
    this.#clients.set(client, targets.set(key, session));
    this.#all.add(session);
    return session;
  }

  /** Ends a session, of which the access log then tells. */
  end(session: Session): void {
    if (session.isEnded) return;
    session.isEnded = true;
    this.#all.delete(session);
    const targets = this.#clients.get(session.client);
    targets?.delete(session.target);
    if (targets?.size === 0) this.#clients.delete(session.client);
    if (session.requests > 0) this.options.ended(session);
  }

  endAll(): void {
    for (const session of this.#all) this.end(session);
  }

  /** Looks at all that goes on. @param see shows each answer that is under way */
  look(now: number, see: () => void): Session[] {
    for (const session of this.#all) session.look();
    see();
    const { silence = silentEnough } = this.options;
    for (const session of this.#all) {
      session.measure(now);
      if (session.active === 0 && now - session.last > silence) this.end(session);
    }
    return [...this.#all].filter(({ goesOn }) => goesOn);
  }

  /** More are never remembered than those that are under way and so many beside them. */
  #endOldest(): void {
    for (const session of this.#all) {
      if (session.active > 0) continue;
      this.end(session);
      return;
    }
  }
}
