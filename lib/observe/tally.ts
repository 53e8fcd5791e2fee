import type { Subject } from '../http/exchange.js';
import type { Report } from './report.js';

interface Count {
  readonly statuses: Map<number, number>;
  bytes: number;
}

/** What is counted where nobody has found out what a request is about. */
const unknown: Subject = { route: 'none' };

/** Counts answers and their bytes: in plain numbers, as it is done for each request. */
export class Tally {
  #counts = new Map<Subject, Count>();

  /** @param bytes beyond what was counted while the answer was under way */
  add(subject: Subject | undefined, status: number, bytes: number): void {
    const count = this.#countOf(subject);
    count.statuses.set(status, (count.statuses.get(status) ?? 0) + 1);
    count.bytes += bytes;
  }

  /** Counts bytes of an answer that is under way. */
  addBytes(subject: Subject | undefined, bytes: number): void {
    if (bytes > 0) this.#countOf(subject).bytes += bytes;
  }

  /** What is new since the last time. */
  take(): Pick<Report, 'requests' | 'sent'> {
    const counts = [...this.#counts];
    // Subjects of images that have gone would stay for ever.
    this.#counts = new Map();
    const requests = counts.flatMap(([{ route }, { statuses }]) =>
      [...statuses].map(([status, count]) => [route, status, count] as const),
    );
    const files = counts.filter(([{ hasFiles }, { bytes }]) => hasFiles && bytes > 0);
    return { requests, sent: files.map(([{ route, item }, { bytes }]) => [route, item, bytes] as const) };
  }

  #countOf(subject = unknown): Count {
    const known = this.#counts.get(subject);
    if (known !== undefined) return known;
    const count = { statuses: new Map<number, number>(), bytes: 0 };
    this.#counts.set(subject, count);
    return count;
  }
}
