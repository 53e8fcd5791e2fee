import type { Changes } from './changes.js';
import type { Place } from './facts.js';
import type { IncomingFile } from './incoming-file.js';

/** Milliseconds between two looks: each transfer is told of twice a second at most. */
const usualInterval = 500;

/** A file on its way into a store. */
type Arriving = Readonly<Pick<IncomingFile, 'bytes' | 'length' | 'rate' | 'ended'>>;

interface Watched {
  readonly name: string;
  readonly incoming: Arriving;
  /** Bytes that were there at the last look. */
  bytes: number;
  /** Whether it was told of, and whether nothing more comes. */
  isTold: boolean;
  hasEnded: boolean;
}

/** Tells how far uploads and downloads are, for as long as there are any. */
export class TransferChanges {
  readonly #watched = new Set<Watched>();
  #timer: NodeJS.Timeout | undefined;

  /** @param interval milliseconds */
  constructor(
    private readonly place: Place,
    private readonly changes: Changes,
    private readonly interval = usualInterval,
  ) {}

  /** Follows a file that begins to arrive to its end. */
  readonly follow = (name: string, incoming: Arriving): void => {
    const watched: Watched = { name, incoming, bytes: incoming.bytes, isTold: false, hasEnded: false };
    this.#watched.add(watched);
    this.#timer ??= setInterval(() => this.#look(), this.interval).unref();
    void incoming.ended.then(() => (watched.hasEnded = true));
  };

  #look(): void {
    for (const watched of this.#watched) {
      const { incoming, hasEnded } = watched;
      const hasMoved = watched.bytes !== incoming.bytes;
      watched.bytes = incoming.bytes;
      if (hasEnded) this.#watched.delete(watched);
      // Without its end, one that broke off would seem to go on.
      if (hasEnded ? !watched.isTold : !hasMoved) continue;
      watched.isTold = true;
      this.#tell(watched);
    }
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tell({ name, incoming, bytes, hasEnded }: Watched): void {
    const { length, rate } = incoming;
    const transfer = { place: this.place, name, bytes, total: length, rate, hasEnded };
    this.changes.publish({ kind: 'progress', transfer });
  }
}
