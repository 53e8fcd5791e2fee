import { messageOf } from './errors.js';
import { EventStream } from './http/event-stream.js';
import { Changes } from './images/changes.js';
import type { Place } from './images/facts.js';
import { FileChanges } from './images/file-changes.js';
import { Store, type StoreOptions } from './images/store.js';
import { TransferChanges } from './images/transfer-changes.js';
import type { Log } from './log.js';

/** Milliseconds between two looks at what comes into the stores by another way, while somebody reads the events. */
const lookInterval = 5000;

/** Milliseconds between two comments for proxies, which give up after 30 seconds and more. */
const usualHeartbeat = 15_000;

/** What changes in the service, from the stores and images to those who read `/events`. */
export class ServiceEvents {
  readonly changes: Changes;
  readonly stream: EventStream;
  readonly #files: FileChanges[] = [];
  #timer: NodeJS.Timeout | undefined;

  /** @param httpTimeout milliseconds that a connection may be silent */
  constructor(log: Log, httpTimeout: number) {
    this.stream = new EventStream({ heartbeat: Math.min(usualHeartbeat, Math.ceil(httpTimeout / 2)) });
    this.changes = new Changes((error) => log.error(`A change could not be told: ${messageOf(error)}`));
  }

  /** Opens a store, and follows what comes and goes in it. Throws what `Store.open` throws. */
  async openStore(place: Place, path: string, options: StoreOptions): Promise<Store> {
    // What the store knows from before is told while it opens.
    let touched: () => void = () => undefined;
    const store = await Store.open(path, {
      ...options,
      began: new TransferChanges(place, this.changes).follow,
      tell: (name, known) => {
        touched();
        return options.tell?.(name, known) ?? Promise.resolve();
      },
    });
    const files = new FileChanges(place, this.changes, () => store.list());
    await files.look();
    this.#files.push(files);
    touched = () => void files.look();
    return store;
  }

  /** From now on clients can read. */
  begin(): void {
    this.#timer = setInterval(() => this.#look(), lookInterval).unref();
  }

  /** Ends all answers at once. */
  stop(): void {
    clearInterval(this.#timer);
    this.stream.stop();
  }

  #look(): void {
    if (this.stream.readers === 0) return;
    for (const files of this.#files) void files.look();
  }
}
