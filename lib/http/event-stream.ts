import { ServiceError } from '../errors.js';
import { EventHistory, type HistoryLimits } from './event-history.js';
import { type Exchange } from './exchange.js';

export interface EventStreamOptions {
  /** How many clients read at a time. */
  readonly maxReaders?: number;
  /** Milliseconds between two comments, which keep proxies from taking a silent connection for a dead one. */
  readonly heartbeat?: number;
  readonly history?: HistoryLimits;
}

const headers = {
  'Content-Type': 'text/event-stream',
  'Cache-Control': 'no-cache',
  // nginx in front would keep the events to itself.
  'X-Accel-Buffering': 'no',
};

/** Milliseconds after which a browser that was cut off comes again. */
const retry = 2000;

/** Characters that are handed to a connection at a time. */
const batch = 32 * 1024;

/** A client that reads the events, at its own pace: what it has not got yet is in the history and nowhere else. */
class Reader {
  #position: number;
  /** Whether what was written last is on its way still, and whether it was so at the last heartbeat. */
  #isBlocked = false;
  #wasBlocked = false;

  /** @param position number of the last event that it has got */
  constructor(
    private readonly response: Exchange['response'],
    private readonly history: EventHistory,
    position: number,
  ) {
    this.#position = position;
    response.on('drain', () => {
      this.#isBlocked = false;
      this.#wasBlocked = false;
      this.send();
    });
  }

  /** Writes a text of its own. */
  write(text: string): void {
    this.#isBlocked = !this.response.write(text);
  }

  /** Sends what there is for it, as far as its connection takes it. */
  send(): void {
    while (!this.#isBlocked && this.#position < this.history.last) {
      if (!this.history.reaches(this.#position)) break;
      const events = this.history.after(this.#position, batch);
      this.#position = events.at(-1)?.number ?? this.history.last;
      this.write(events.map(({ text }) => text).join(''));
    }
    // Too far behind: it comes again, and is told then to load everything anew.
    if (!this.history.reaches(this.#position)) this.cut();
  }

  /** Keeps the connection alive, or cuts one that has taken nothing for a whole heartbeat. */
  beat(): void {
    if (this.#isBlocked && this.#wasBlocked) this.cut();
    this.#wasBlocked = this.#isBlocked;
    if (!this.#isBlocked) this.write(':\n\n');
  }

  end(): void {
    if (this.#isBlocked) this.cut();
    else this.response.end();
  }

  cut(): void {
    this.response.destroy();
  }
}

/** Sends events to all clients that read them (HTML standard, 9.2 Server-sent events). */
export class EventStream {
  readonly #history: EventHistory;
  readonly #readers = new Set<Reader>();
  readonly #maxReaders: number;
  readonly #heartbeat: number;
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;

  constructor({ maxReaders = 64, heartbeat = 15_000, history }: EventStreamOptions = {}) {
    this.#history = new EventHistory(history);
    this.#maxReaders = maxReaders;
    this.#heartbeat = heartbeat;
  }

  /** How many clients read. */
  get readers(): number {
    return this.#readers.size;
  }

  /**
   * Sends an event to everybody who reads, and keeps it for a while for those who are away.
   * @param value goes out as JSON
   * @param subject what it is about, where only the latest event about it is worth keeping
   */
  publish(name: string, value: unknown, subject?: string): void {
    this.#history.add(name, value, subject);
    for (const reader of this.#readers) reader.send();
  }

  /**
   * Answers a request with the events from now on, or, with `Last-Event-ID`, from there on. Where that is too old, or
   * of an earlier run, an event `reset` comes first: the client has to load everything anew.
   * @throws ServiceError UNAVAILABLE: too many read already, or the service is stopping
   */
  serve({ request, response, closed }: Exchange): void {
    if (this.#isOver) throw new ServiceError('UNAVAILABLE', 'The service is stopping; ask again soon');
    if (this.#readers.size >= this.#maxReaders) {
      throw new ServiceError('UNAVAILABLE', `${this.#maxReaders} clients read the events already; ask again later`);
    }
    // The end of the events is the end of the connection: with the service's stop nobody waits for its next request.
    response.shouldKeepAlive = false;
    response.writeHead(200, headers);
    if (request.method === 'HEAD' || closed.aborted) {
      response.end();
      return;
    }
    const reader = this.#join(response, request.headers['last-event-id']);
    // Its client has left: the connection would stay half open until something is written to it.
    request.socket.once('end', () => reader.cut());
  }

  /** Ends all answers at once. */
  stop(): void {
    this.#isOver = true;
    for (const reader of this.#readers) reader.end();
  }

  #join(response: Exchange['response'], lastId: string | string[] | undefined): Reader {
    const history = this.#history;
    const known = history.numberOf(String(lastId));
    const isKnown = known !== undefined && history.reaches(known);
    const reader = new Reader(response, history, isKnown ? known : history.last);
    this.#readers.add(reader);
    response.once('close', () => this.#leave(reader));
    this.#timer ??= setInterval(() => this.#beat(), this.#heartbeat).unref();
    const isLost = lastId !== undefined && !isKnown;
    // An id alone is no event: the client keeps it, for the case that it is cut off before the first one.
    const first = isLost ? `event: reset\ndata: {}\n` : '';
    reader.write(`retry: ${retry}\nid: ${history.idOf(isKnown ? known : history.last)}\n${first}\n`);
    reader.send();
    return reader;
  }

  #leave(reader: Reader): void {
    this.#readers.delete(reader);
    if (this.#readers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #beat(): void {
    for (const reader of this.#readers) reader.beat();
  }
}
