import { once } from 'node:events';
import { connect } from 'node:net';
import { addAbortSignal, Writable } from 'node:stream';
import { Client, type FTPContext, FTPError, type FTPResponse } from 'basic-ftp';
import { Body, type Flow } from './download-body.js';
import type { Continuation, FarEndOptions, Opened, Origin } from './download-far-end.js';
import { badGateway, inWords, isAbort, silent, TemporaryFailure } from './download-failure.js';
import { checkHost } from './download-hosts.js';
import { ftpPathOf } from './download-url.js';

/** In words of ours: those of a server may repeat the user's name. */
const answers: Readonly<Record<number, string>> = {
  421: 'is not available at the moment',
  530: 'refuses the user or the password',
  550: 'has no such file, or does not give it',
};

/** RFC 959 4.2.1: what begins with 4 may pass, and 120 asks to come later. */
function explain(host: string, error: unknown): Error {
  if (error instanceof FTPError) {
    const message = `${host} ${answers[error.code] ?? `answered ${error.code}`}`;
    const isPassing = error.code === 120 || (error.code >= 400 && error.code < 500);
    if (!isPassing) return badGateway(message, error);
    return new TemporaryFailure('BAD_GATEWAY', message, { cause: error });
  }
  const isSystem = error instanceof Error && ('code' in error || isAbort(error));
  if (isSystem) return inWords(host, error);
  return new TemporaryFailure('BAD_GATEWAY', `The FTP session with ${host} broke off`, { cause: error });
}

/**
 * The port that a server offers for data (RFC 2428 3, RFC 959 4.1.2). The address of a PASV answer is not looked at: it
 * may be a private one, and it could send us to another machine.
 */
function portOf(message: string): number | undefined {
  const extended = /\((\D)\1\1(\d{1,5})\1\)/.exec(message)?.[2];
  if (extended !== undefined) return Number(extended);
  const [, high, low] = /\d{1,3},\d{1,3},\d{1,3},\d{1,3},(\d{1,3}),(\d{1,3})/.exec(message) ?? [];
  return high === undefined ? undefined : Number(high) * 256 + Number(low);
}

/** Takes the bytes that the FTP client pushes, no faster than the body is read. */
class Sink extends Writable implements Flow {
  #proceed: (() => void) | undefined;
  #isPaused = true;

  constructor(
    private readonly deliver: (chunk: Buffer) => void,
    private readonly hangUp: () => void,
  ) {
    super();
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.deliver(chunk);
    if (this.#isPaused) this.#proceed = done;
    else done();
  }

  resume(): void {
    this.#isPaused = false;
    const proceed = this.#proceed;
    this.#proceed = undefined;
    proceed?.();
  }

  pause(): void {
    this.#isPaused = true;
  }

  close(): void {
    this.hangUp();
  }
}

/** A control connection (RFC 959) and the data connection that it may have. */
class Session {
  // Its own timeouts cannot be told from other failures, and leave a data connection that is being made alone.
  readonly #client = new Client(0);
  readonly #ended = new AbortController();
  #failure: Error | undefined;
  readonly #abort = () => this.#fail(new DOMException('The operation was aborted', 'AbortError'));

  constructor(
    private readonly host: string,
    private readonly options: FarEndOptions,
  ) {
    this.#client.prepareTransfer = (ftp) => this.#openData(ftp);
    options.signal.addEventListener('abort', this.#abort, { once: true });
  }

  /** Ends both connections. Safe to call twice. */
  close(): void {
    this.options.signal.removeEventListener('abort', this.#abort);
    this.#client.close();
    this.#ended.abort();
  }

  /** Reaches the server, logs in and asks for bytes as they are (RFC 959 3.1.1.3). */
  async open(url: URL): Promise<void> {
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    const user = decodeURIComponent(url.username) || 'anonymous';
    const password = decodeURIComponent(url.password) || (user === 'anonymous' ? 'anonymous@' : '');
    await this.#step(() => this.#client.connect(host, Number(url.port || 21)));
    await this.#step(() => this.#client.login(user, password));
    await this.#step(() => this.#client.send('TYPE I'));
    await this.ask('OPTS UTF8 ON');
  }

  /** The text of a positive answer; undefined when the server refuses the command, which it may not know. */
  ask(command: string): Promise<string | undefined> {
    return this.#step(async () => {
      try {
        return (await this.#client.send(command)).message.slice(4).trim();
      } catch (error) {
        if (error instanceof FTPError && error.code >= 500) return undefined;
        throw error;
      }
    });
  }

  /** Starts a transfer; resolves with its first bytes, or its end when it has none. */
  async transfer(path: string, offset: number, length: number | undefined): Promise<Body> {
    const { idleTimeout } = this.options;
    let started: () => void = () => undefined;
    const first = new Promise<void>((resolve) => (started = resolve));
    const receive = (chunk: Buffer) => {
      body.receive(chunk);
      started();
    };
    const sink = new Sink(receive, () => this.close());
    const body: Body = new Body(sink, { host: this.host, offset, length, idleTimeout });
    // The client ends the sink also when the transfer fails: only its promise tells which it was.
    const transfer = this.#client.downloadTo(sink, path, offset);
    transfer.then(
      () => body.complete(),
      (error: unknown) => body.breakOff(error),
    );
    try {
      await this.#step(() => Promise.race([first, transfer]));
    } catch (error) {
      body.destroy();
      throw error;
    }
    // From here on the body minds the signal and the silence.
    this.options.signal.removeEventListener('abort', this.#abort);
    addAbortSignal(this.options.signal, body);
    return body;
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    this.#client.ftp.closeWithError(error);
    this.#ended.abort();
  }

  async #step<T>(operation: () => Promise<T>): Promise<T> {
    const { idleTimeout } = this.options;
    const timer = setTimeout(() => this.#fail(silent(this.host, idleTimeout)), idleTimeout);
    try {
      return await operation();
    } catch (error) {
      throw this.#failure ?? explain(this.host, error);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Passive mode: EPSV, and PASV for servers or firewalls that know only that. */
  async #openData(ftp: FTPContext): Promise<FTPResponse> {
    try {
      return await this.#openPassive(ftp, 'EPSV');
    } catch (error) {
      if (ftp.closed) throw error;
      return await this.#openPassive(ftp, 'PASV');
    }
  }

  async #openPassive(ftp: FTPContext, command: string): Promise<FTPResponse> {
    const response = await ftp.request(command);
    const port = portOf(response.message);
    const host = ftp.socket.remoteAddress;
    if (port === undefined || host === undefined) throw badGateway(`${this.host} offers no data connection`);
    const socket = connect({ host, port, signal: this.#ended.signal });
    await once(socket, 'connect');
    ftp.dataSocket = socket;
    return response;
  }
}

/** What the server says of a file: SIZE and MDTM (RFC 3659 3 and 4), where it knows them. */
async function originOf(session: Session, path: string): Promise<Origin> {
  const size = /^\d{1,15}(?!\d)/.exec((await session.ask(`SIZE ${path}`)) ?? '')?.[0];
  const modified = /^\d{14}(?:\.\d+)?$/.exec((await session.ask(`MDTM ${path}`)) ?? '')?.[0];
  return { validator: modified, length: size === undefined ? undefined : Number(size) };
}

async function isContinued(session: Session, origin: Origin, continuation: Continuation): Promise<boolean> {
  const { offset, origin: former } = continuation;
  if (origin.validator !== former.validator || origin.length !== former.length) return false;
  // RFC 3659 5: some servers cannot restart.
  return (await session.ask(`REST ${offset}`)) !== undefined;
}

/**
 * Opens a file over ftp (RFC 959), in passive mode, from an offset if its size and time are the same, and otherwise from
 * its start. Without a user in the URL the login is anonymous (RFC 1635).
 * @param url as `checkDownloadUrl` returned it
 * @throws ServiceError FORBIDDEN (a host that is not allowed), BAD_GATEWAY and GATEWAY_TIMEOUT, as TemporaryFailure where
 * it may pass; an error named AbortError after an abort
 */
export async function openFtp(url: URL, options: FarEndOptions, continuation?: Continuation): Promise<Opened> {
  checkHost(url, options.hosts);
  if (options.signal.aborted) throw new DOMException('The operation was aborted', 'AbortError');
  const session = new Session(url.host, options);
  try {
    await session.open(url);
    // Servers drop the spaces that a name begins with.
    const path = ftpPathOf(url).replace(/^ /, './ ');
    const origin = await originOf(session, path);
    const isRest = continuation !== undefined && (await isContinued(session, origin, continuation));
    const offset = isRest ? continuation.offset : 0;
    const body = await session.transfer(path, offset, origin.length);
    return { body, origin, offset };
  } catch (error) {
    session.close();
    throw error;
  }
}
