import { randomUUID } from 'node:crypto';

/** An event as it is sent (HTML standard, 9.2 Server-sent events). */
export interface KeptEvent {
  /** From 1 on, without gaps. */
  readonly number: number;
  readonly text: string;
  /** What it is about, where only the latest event about it is worth keeping. */
  readonly subject: string | undefined;
}

export interface HistoryLimits {
  readonly events: number;
  /** Characters of all of them. */
  readonly characters: number;
}

const usualLimits: HistoryLimits = { events: 1000, characters: 1024 * 1024 };

/** The latest events, so that whoever was away for a while misses none. Ids are of this run of the program alone. */
export class EventHistory {
  readonly #run = randomUUID().slice(0, 8);
  readonly #kept: KeptEvent[] = [];
  #characters = 0;
  #last = 0;
  /** The last of those that were given up: a reader that has not got it has missed something. */
  #lost = 0;

  constructor(private readonly limits: HistoryLimits = usualLimits) {}

  /** The number of the latest event; 0 before the first. */
  get last(): number {
    return this.#last;
  }

  /** The id of an event. */
  idOf(number: number): string {
    return `${this.#run}-${number}`;
  }

  /** The number of an event of this run by its id; undefined for any other text. */
  numberOf(id: string): number | undefined {
    const [, run, digits] = /^([0-9a-f]{8})-(\d{1,15})$/.exec(id) ?? [];
    const number = Number(digits);
    return run === this.#run && number <= this.#last ? number : undefined;
  }

  /** @param value goes out as JSON, which is one line */
  add(name: string, value: unknown, subject?: string): void {
    this.#last += 1;
    const text = `id: ${this.idOf(this.#last)}\nevent: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
    const former = subject === undefined ? -1 : this.#kept.findLastIndex((event) => event.subject === subject);
    if (former >= 0) this.#drop(former);
    this.#kept.push({ number: this.#last, text, subject });
    this.#characters += text.length;
    while (this.#kept.length > this.limits.events || this.#characters > this.limits.characters) {
      this.#lost = this.#drop(0) ?? this.#lost;
    }
  }

  /** Whether somebody who has got the events up to this one can be told all that has happened since. */
  reaches(number: number): boolean {
    return number >= this.#lost;
  }

  /** The events behind this one, in order. @param characters about how many at a time */
  after(number: number, characters: number): KeptEvent[] {
    const found: KeptEvent[] = [];
    let size = 0;
    for (let at = this.#kept.findLastIndex((event) => event.number <= number) + 1; size < characters; at++) {
      const event = this.#kept[at];
      if (event === undefined) break;
      found.push(event);
      size += event.text.length;
    }
    return found;
  }

  /** @returns the number of the event that is given up */
  #drop(index: number): number | undefined {
    const [event] = this.#kept.splice(index, 1);
    this.#characters -= event?.text.length ?? 0;
    return event?.number;
  }
}
