import { Flights } from '../flights.js';
import { ServiceError, messageOf, systemCode } from '../errors.js';
import type { Exchange } from '../http/exchange.js';
import type { Log } from '../log.js';
import { readEntries, versionOf } from './auth-file.js';
import { parseAuthorization } from './authorization.js';
import type { Kind, Scope } from './entries.js';
import { type Verdict, Verifier } from './verifier.js';

const realm = 'realm="image-service"';

/**
 * The challenges of an answer (RFC 9110 11.6.1, RFC 7617 2, RFC 6750 3), each a header field of its own.
 * @param failure what RFC 6750 3.1 says of a token that was sent
 */
function challenges(failure = ''): string[] {
  return [`Bearer ${realm}${failure}`, `Basic ${realm}, charset="UTF-8"`];
}

/** What a request needs: reading is what changes nothing. */
function scopeOf(method: string | undefined): Scope {
  return method === 'GET' || method === 'HEAD' ? 'read' : 'write';
}

/** Who may use the management API: the tokens and passwords of a file, which is read again when it changes. */
export class Access {
  readonly #flights = new Flights<void>();
  #version: string | undefined;
  /** The failure that the log has told of. */
  #told = '';

  private constructor(
    private readonly path: string,
    private readonly log: Log,
    private readonly verifier: Verifier,
  ) {}

  /**
   * A file that is missing lets nobody in until it comes.
   * @throws ServiceError BAD_REQUEST: the file cannot be read, or is broken
   */
  static async open(path: string, log: Log, verifier = new Verifier()): Promise<Access> {
    const access = new Access(path, log, verifier);
    await access.#read();
    return access;
  }

  /**
   * Reads the file if it is another one than before. A broken one changes nothing; the log tells.
   * Who calls this knows of every change that was made before.
   */
  reload(): Promise<void> {
    return this.#flights.run('', async () => {
      try {
        await this.#read();
        this.#told = '';
      } catch (error) {
        const words = messageOf(error);
        if (words !== this.#told) this.log.critical(`${words}: the tokens and passwords from before stay in force`);
        this.#told = words;
      }
    });
  }

  /**
   * Refuses a request that may not be made, before anything else of it is looked at.
   * @throws ServiceError UNAUTHORIZED, FORBIDDEN, TOO_MANY_REQUESTS; UNAVAILABLE: too many are being checked; TIMEOUT:
   * the client has left
   */
  async check(exchange: Exchange): Promise<void> {
    const { request, response } = exchange;
    const { method } = request;
    // The question of a browser that asks before it sends (Fetch 4.8) never has credentials.
    if (method === 'OPTIONS') return;
    const credentials = parseAuthorization(request.headers.authorization);
    if (credentials === undefined) {
      response.setHeader('WWW-Authenticate', challenges());
      throw new ServiceError('UNAUTHORIZED', 'This needs a token (Bearer) or a name and password (Basic)');
    }
    await this.reload();
    const address = request.socket.remoteAddress ?? '';
    const verdict = await this.verifier.verify(credentials, address);
    if (exchange.closed.aborted) throw new ServiceError('TIMEOUT', 'The client has left');
    this.#decide(verdict, credentials.kind, exchange, address);
  }

  #decide(verdict: Verdict, kind: Kind, { request, response }: Exchange, address: string): void {
    if (verdict.outcome === 'slowed') {
      response.setHeader('Retry-After', Math.ceil(verdict.after / 1000));
      throw new ServiceError('TOO_MANY_REQUESTS', 'Too many wrong credentials came from this address; try again later');
    }
    if (verdict.outcome === 'wrong') {
      this.log.warning(`northbound: wrong ${kind} from ${address}`);
      response.setHeader('WWW-Authenticate', challenges(kind === 'token' ? ', error="invalid_token"' : ''));
      const what = kind === 'token' ? 'The token is not known' : 'The name or the password is wrong';
      throw new ServiceError('UNAUTHORIZED', what);
    }
    const needed = scopeOf(request.method);
    if (needed === 'read' || verdict.entry.scope === 'write') return;
    const failure = kind === 'token' ? ', error="insufficient_scope", scope="write"' : '';
    response.setHeader('WWW-Authenticate', challenges(failure));
    throw new ServiceError('FORBIDDEN', `The ${kind} may only read; this needs the scope write`);
  }

  async #read(): Promise<void> {
    const { version, mode } = await versionOf(this.path);
    if (version === this.#version) return;
    // Before it is read: one that is broken is told of once, and one that changes meanwhile is read again.
    this.#version = version;
    const entries = await readEntries(this.path).catch((error: unknown) => {
      // What keeps it from being read may pass without the file being another one.
      if (error instanceof Error && systemCode(error.cause) !== undefined) this.#version = undefined;
      throw error;
    });
    this.verifier.use(entries ?? []);
    const shown = `authFile ${JSON.stringify(this.path)}`;
    if (entries === undefined) {
      this.log.critical(`${shown} is missing: northbound lets nobody in until "image-service token add" has made it`);
      return;
    }
    this.log.info(`${shown}: tokens and passwords in force: ${entries.length}`);
    if ((mode & 0o027) !== 0) this.log.warning(`${shown} is open to others than its owner: chmod 600 mends that`);
  }
}
