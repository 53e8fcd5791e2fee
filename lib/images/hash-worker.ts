import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { MessageChannel, parentPort } from 'node:worker_threads';
import { messageOf, systemCode } from '../errors.js';
import type { Algorithm, Digests, HashCommand, HashReply, HashRequest } from './hashing.js';
import { OneAtATime } from './one-at-a-time.js';

/** The thread of `Hashing`. */

/** Bytes of a file that are read and digested in one go; an upload's bytes never wait for more than that. */
const stepBytes = 4 * 1024 * 1024;

/** Several digests of the same bytes. */
class State {
  readonly #hashes;

  constructor(algorithms: readonly Algorithm[]) {
    this.#hashes = algorithms.map((algorithm) => [algorithm, createHash(algorithm)] as const);
  }

  update(bytes: Uint8Array): void {
    for (const [, hash] of this.#hashes) hash.update(bytes);
  }

  digests(): Digests {
    return Object.fromEntries(this.#hashes.map(([algorithm, hash]) => [algorithm, hash.digest('hex')]));
  }
}

const states = new Map<number, State>();
/** All files share one block, in turns. */
const turns = new OneAtATime();
const block = Buffer.allocUnsafeSlow(stepBytes);

function stateOf(id: number): State {
  const state = states.get(id);
  if (state === undefined) throw new Error('This digest has ended already');
  return state;
}

const { port1: nowhere } = new MessageChannel();
nowhere.close();

/** Digests bytes and gives their memory back at once: the garbage collector would let tens of megabytes gather first. */
function update(state: State, chunks: readonly Uint8Array<ArrayBuffer>[]): void {
  for (const chunk of chunks) state.update(chunk);
  // What is transferred to a closed port is freed.
  nowhere.postMessage(
    undefined,
    chunks.map(({ buffer }) => buffer),
  );
}

async function readAll(id: number, path: string): Promise<Digests> {
  // Without O_NONBLOCK a named pipe would wait for its other end, open(2).
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const step = async () => {
    const { bytesRead } = await file.read(block, 0, block.length);
    // Only now: it may have been discarded while the disk was at work.
    stateOf(id).update(block.subarray(0, bytesRead));
    return bytesRead > 0;
  };
  try {
    while (await turns.run(step));
  } finally {
    await file.close();
  }
  return stateOf(id).digests();
}

async function digestFile(id: number, path: string, algorithms: readonly Algorithm[]): Promise<Digests> {
  states.set(id, new State(algorithms));
  try {
    return await readAll(id, path);
  } finally {
    states.delete(id);
  }
}

function stop(): void {
  // Whoever reads a file finds its state gone, and closes it.
  states.clear();
  parentPort?.close();
}

function take(command: HashCommand): Digests | Promise<Digests> {
  if (command.type === 'stop') {
    stop();
    return {};
  }
  const { id } = command;
  switch (command.type) {
    case 'open':
      states.set(id, new State(command.algorithms));
      return {};
    case 'update':
      update(stateOf(id), command.chunks);
      return {};
    case 'digest': {
      const digests = stateOf(id).digests();
      states.delete(id);
      return digests;
    }
    case 'discard':
      states.delete(id);
      return {};
    case 'file':
      return digestFile(id, command.path, command.algorithms);
  }
}

async function reply({ request, command }: HashRequest): Promise<HashReply> {
  try {
    return { request, digests: await take(command), failure: undefined };
  } catch (error) {
    return { request, digests: {}, failure: { message: messageOf(error), code: systemCode(error) } };
  }
}

parentPort?.on('message', (request: HashRequest) => {
  void reply(request).then((answer) => parentPort?.postMessage(answer));
});
