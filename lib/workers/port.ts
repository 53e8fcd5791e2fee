import { lookup } from 'node:dns/promises';
import * as net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { messageOf, ServiceError } from '../errors.js';

/** As Node has it inside. Both numbers are negative ones of errors, or 0. */
interface BoundSocket {
  getsockname(name: { address: string; port: number }): number;
  close(): void;
}

/** A port that this process has and takes no connections of. */
export interface BoundPort {
  readonly address: string;
  readonly port: number;
  /** What it is called in messages between processes. */
  readonly name: string;
  /** In the form in which Node passes it to another process, any number of times. */
  readonly socket: unknown;
  close(): void;
}

/**
 * What Node's own cluster module opens its ports with. A `net.Server` cannot be had without its taking connections, and
 * this process must not take those of its workers.
 */
type CreateServerHandle = (address: string, port: number, addressType: 4 | 6) => BoundSocket | number;

const createServerHandle = (net as unknown as { readonly _createServerHandle: CreateServerHandle })._createServerHandle;

export function cannotListen(address: string, port: number, reason: string, cause?: unknown): ServiceError {
  return new ServiceError('BAD_REQUEST', `Cannot listen on ${address} port ${port}: ${reason}`, { cause });
}

/**
 * Gives a socket its port. Nobody can connect before a process listens on it, and as long as this one keeps it, those
 * who connect while no process takes connections wait for the next one.
 * @param port 0 takes any free one
 * @throws ServiceError BAD_REQUEST; that somebody else has the port may show only to who listens on it
 */
export async function bindPort(address: string, port: number): Promise<BoundPort> {
  const found = await lookup(address).catch((error: unknown) => {
    throw cannotListen(address, port, messageOf(error), error);
  });
  const socket = createServerHandle(found.address, port, found.family === 6 ? 6 : 4);
  if (typeof socket === 'number') throw cannotListen(address, port, getSystemErrorName(socket));
  const name = { address: found.address, port };
  // A port that is taken is told not before that (uv_tcp_bind of libuv); the socket would get any other one.
  const failure = socket.getsockname(name);
  if (failure !== 0) {
    socket.close();
    throw cannotListen(address, port, getSystemErrorName(failure));
  }
  return { ...name, name: `${name.address} ${name.port}`, socket, close: () => socket.close() };
}
