import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { networkOf } from './address.js';
import type { Credentials } from './authorization.js';
import type { Entry, Kind } from './entries.js';
import { Lane } from './lane.js';
import { type Scrypt, isSecretOf, scryptCosts, systemScrypt } from './secrets.js';
import { Throttle } from './throttle.js';

/** What became of credentials. */
export type Verdict =
  | { readonly outcome: 'right'; readonly entry: Entry }
  | { readonly outcome: 'wrong' }
  /** Not looked at: too many others from there were wrong. `after`: milliseconds until that is over. */
  | { readonly outcome: 'slowed'; readonly after: number };

/** What is known of one state of the file: nothing of it outlives a change. */
interface Known {
  readonly entries: ReadonlyMap<string, Entry>;
  /** Fast digests of secrets that scrypt has found right: at most one for each entry. */
  readonly verified: Map<Entry, Buffer>;
  /** Stands in for an entry that is not there, so that its name takes as long as any other. */
  readonly decoys: Readonly<Record<Kind, Entry>>;
}

function lookupKey(kind: Kind, key: string): string {
  return `${kind} ${key}`;
}

function decoy(kind: Kind, entries: readonly Entry[]): Entry {
  const scrypt = entries.find((entry) => entry.kind === kind)?.scrypt ?? scryptCosts[kind];
  const random = (bytes: number) => randomBytes(bytes).toString('base64url');
  return { name: '', kind, scope: 'read', id: '', salt: random(16), hash: random(32), scrypt, createdAt: '' };
}

function know(entries: readonly Entry[]): Known {
  return {
    entries: new Map(entries.map((entry) => [lookupKey(entry.kind, entry.id || entry.name), entry])),
    verified: new Map(),
    decoys: { token: decoy('token', entries), password: decoy('password', entries) },
  };
}

/** Tells right credentials from wrong ones, at a bounded cost. */
export class Verifier {
  readonly #key = randomBytes(32);
  readonly #flights = new Map<string, Promise<Verdict>>();
  /**
   * One thread of Node's pool each, which has four, and reads files by the others. Tokens that exist have a lane of their
   * own, so that whoever guesses names does not keep their holders waiting.
   */
  readonly #tokens = new Lane();
  readonly #others = new Lane();
  #known = know([]);

  constructor(
    private readonly scrypt: Scrypt = systemScrypt,
    private readonly throttle = new Throttle(),
  ) {}

  /** Whom to let in from now on. What was verified before is verified again. */
  use(entries: readonly Entry[]): void {
    this.#known = know(entries);
    // What is being checked by the former ones is nobody's answer who asks from now on.
    this.#flights.clear();
  }

  /**
   * @param address of the client
   * @throws ServiceError UNAVAILABLE: too many are being checked
   */
  verify({ kind, key, secret }: Credentials, address: string): Promise<Verdict> {
    const known = this.#known;
    const entry = known.entries.get(lookupKey(kind, key));
    // The key is ours alone: nobody can tell from the time how much of a digest was right.
    const digest = createHmac('sha256', this.#key).update(secret).digest();
    const right = entry && known.verified.get(entry);
    if (entry && right && timingSafeEqual(right, digest)) return Promise.resolve({ outcome: 'right', entry });
    // A browser asks for many things at once, with credentials that are new to us.
    const flight = `${networkOf(address)} ${lookupKey(kind, key)} ${digest.toString('base64')}`;
    const running = this.#flights.get(flight);
    if (running !== undefined) return running;
    const verdict = this.#slowly({ kind, secret, digest, address }, entry, known);
    this.#flights.set(flight, verdict);
    return verdict.finally(() => {
      if (this.#flights.get(flight) === verdict) this.#flights.delete(flight);
    });
  }

  async #slowly(
    { kind, secret, digest, address }: Pick<Credentials, 'kind' | 'secret'> & { digest: Buffer; address: string },
    entry: Entry | undefined,
    { verified, decoys }: Known,
  ): Promise<Verdict> {
    const isToken = entry?.kind === 'token';
    // Who knows the id of a token holds it: others at the same address must not shut them out.
    const client = isToken ? `${networkOf(address)} ${entry.id}` : networkOf(address);
    const after = this.throttle.take(client);
    if (after > 0) return { outcome: 'slowed', after };
    try {
      const lane = isToken ? this.#tokens : this.#others;
      const isRight = await lane.run(() => isSecretOf(entry ?? decoys[kind], secret, this.scrypt));
      if (!isRight || entry === undefined) return { outcome: 'wrong' };
    } catch (error) {
      this.throttle.giveBack(client);
      throw error;
    }
    this.throttle.giveBack(client);
    verified.set(entry, digest);
    return { outcome: 'right', entry };
  }
}
