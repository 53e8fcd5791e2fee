import { isUtf8 } from 'node:buffer';
import { opendir } from 'node:fs/promises';
import { Turns } from './turns.js';

/** Names that are read at once. All of a large folder in one go would hold up everybody else while they are made. */
const namesAtOnce = 1024;

/**
 * The names in a folder, in no particular order, without those that are not UTF-8: no URL leads back to them.
 * @throws the errors of opendir(3) and readdir(3)
 */
export async function* namesIn(path: string): AsyncGenerator<string> {
  const turns = new Turns();
  // Latin-1 keeps every byte as it is.
  for await (const entry of await opendir(path, { encoding: 'latin1', bufferSize: namesAtOnce })) {
    if (turns.isDue) await turns.take();
    const name = Buffer.from(entry.name, 'latin1');
    if (isUtf8(name)) yield name.toString();
  }
}

/** 16 operations at a time; each one ends before an error is passed on: none may use a descriptor that was given back. */
export async function forEachBounded<T>(items: AsyncIterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const waiting = items[Symbol.asyncIterator]();
  const worker = async () => {
    for (let next = await waiting.next(); next.done !== true; next = await waiting.next()) await work(next.value);
  };
  const workers = Array.from({ length: 16 }, worker);
  await Promise.allSettled(workers);
  await waiting.return?.();
  await Promise.all(workers);
}
