import type { ServerOpts, Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { Log } from '../log.js';
import { contextOptions, type Credentials } from './tls.js';

export interface TlsPortOptions {
  /** As of a port in the clear. */
  readonly connections: ServerOpts;
  /** Milliseconds that a handshake may take. */
  readonly patience: number;
  readonly log: Log;
}

/** As many as may be there in the clear and have not asked yet. */
const maxHandshakes = 4096;

/** Connections whose handshake is under way. They are nobody else's yet, and so are bounded and ended here. */
class Handshakes {
  readonly #sockets = new Map<string, Socket>();

  add(socket: Socket): void {
    const name = nameOf(socket);
    this.#sockets.set(name, socket);
    socket.once('close', () => {
      if (this.#sockets.get(name) === socket) this.#sockets.delete(name);
    });
    if (this.#sockets.size <= maxHandshakes) return;
    const [oldest = socket] = this.#sockets.values();
    oldest.destroy();
  }

  delete(socket: Socket): void {
    this.#sockets.delete(nameOf(socket));
  }

  end(): void {
    for (const socket of this.#sockets.values()) socket.destroy();
  }
}

/** The far end, which is the same for a TLS socket and for the one below it. */
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress ?? ''} ${remotePort ?? 0}`;
}

function reasonOf(error: Error, socket: TLSSocket): string {
  // Node declares the error that it is null where there is none, and gives the code alone.
  const refused: unknown = socket.authorizationError;
  return typeof refused === 'string' ? `its certificate was refused, ${refused}` : error.message;
}

/** A port that speaks TLS, as Node has it by default: 1.2 and 1.3, and HTTP/1.1 above. */
export class TlsPort {
  readonly server: Server;
  readonly #handshakes = new Handshakes();

  /** @param connected is given each connection when its handshake is done */
  constructor(
    credentials: Credentials,
    { connections, patience, log }: TlsPortOptions,
    connected: (socket: TLSSocket) => void,
  ) {
    this.server = createServer({
      ...connections,
      ...contextOptions(credentials.texts),
      requestCert: credentials.texts.ca !== undefined,
      rejectUnauthorized: true,
      ALPNProtocols: ['http/1.1'],
      handshakeTimeout: patience,
    });
    credentials.onRenewal((texts) => this.server.setSecureContext(contextOptions(texts)));
    this.server.on('connection', (socket: Socket) => this.#handshakes.add(socket));
    this.server.on('secureConnection', (socket) => {
      this.#handshakes.delete(socket);
      connected(socket);
    });
    this.server.on('tlsClientError', (error, socket) => {
      log.debug(`TLS: ${reasonOf(error, socket)}`);
      // Node leaves the connection open after a handshake that took too long.
      socket.destroy();
    });
  }

  /** Takes no connection any more, and ends those that were not handed on yet. */
  close(): void {
    this.server.close();
    this.#handshakes.end();
  }
}
