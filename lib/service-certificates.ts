import type { Endpoint, TlsFiles } from './config-keys.js';
import { messageOf } from './errors.js';
import { Credentials, describeCertificate, readTls } from './http/tls.js';
import type { Log } from './log.js';

/** An endpoint that speaks https. */
interface Secured {
  readonly at: string;
  readonly files: TlsFiles;
  readonly credentials: Credentials;
}

/** The certificates of the endpoints, which somebody renews from time to time. */
export class Certificates {
  /** By the index of the endpoint. */
  readonly #secured = new Map<number, Secured>();
  #reloaded = Promise.resolve();

  private constructor(private readonly log: Log) {}

  /** @throws ServiceError BAD_REQUEST, naming key and file, when one is missing or broken */
  static async read(endpoints: readonly Endpoint[], log: Log): Promise<Certificates> {
    const certificates = new Certificates(log);
    for (const [index, { tls: files }] of endpoints.entries()) {
      if (files === undefined) continue;
      const at = `httpEndpoints[${index}].tls`;
      const credentials = new Credentials(await readTls(files, at));
      certificates.#secured.set(index, { at, files, credentials });
      certificates.#tell(at, credentials, 'is');
    }
    return certificates;
  }

  /** What an endpoint proves itself with; undefined: nothing, it speaks in the clear. */
  of(index: number): Credentials | undefined {
    return this.#secured.get(index)?.credentials;
  }

  /** Reads all of them again, one reload after the other. Where that fails, what was in use stays so. */
  reload(): Promise<void> {
    this.#reloaded = this.#reloaded.then(async () => {
      for (const secured of this.#secured.values()) await this.#renew(secured);
    });
    return this.#reloaded;
  }

  async #renew({ at, files, credentials }: Secured): Promise<void> {
    try {
      credentials.renew(await readTls(files, at));
      this.#tell(at, credentials, 'is now');
    } catch (error) {
      this.log.error(`${messageOf(error)}; the former certificate stays in use`);
    }
  }

  #tell(at: string, credentials: Credentials, verb: string): void {
    const { words, problem } = describeCertificate(credentials.texts);
    this.log.info(`${at}: the certificate ${verb} ${words}`);
    if (problem !== undefined) this.log.warning(`${at}: ${problem}`);
  }
}
