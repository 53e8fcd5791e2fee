import { setTimeout as delay } from 'node:timers/promises';
import { ask } from '../fixtures/client.js';
import type { Random } from '../fixtures/random.js';
import { isoName, isoOf } from './content.js';
import { Cut, read } from './reading.js';

async function expectStatus(north: string, path: string, method: string, status: number, body?: Buffer): Promise<void> {
  const headers = { accept: 'application/json', prefer: 'wait=30' };
  const answer = await ask(north, path, { method, headers, ...(body !== undefined && { body }) });
  if (answer.status !== status) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
}

/** Makes the image that the clients read from. */
export async function addImage(north: string): Promise<void> {
  await expectStatus(north, `/images?name=disc&version=1&isostore=${isoName}`, 'PUT', 201);
}

/** Uploads an image, reads from it, and deletes it, as an operator does. Nothing of it stays. */
export async function uploadAndDelete({ north, south }: Readonly<Record<'north' | 'south', string>>, number: number) {
  const { iso, kernel } = isoOf(number);
  const image = `/images?name=soak-${number}&version=1`;
  const kernelPath = `/soak-${number}/1/kernel`;
  await expectStatus(north, `${image}&isoclient=soak-${number}.iso`, 'PUT', 201, iso);
  try {
    await read({ base: south, path: kernelPath, status: 200, body: kernel });
  } finally {
    await expectStatus(north, image, 'DELETE', 200);
    await expectStatus(north, `/iso?name=soak-${number}.iso`, 'DELETE', 200);
  }
  await read({ base: south, path: kernelPath, status: 404 });
}

/** Does so now and then. */
export async function keepUploading(
  service: Readonly<Record<'north' | 'south', string>>,
  random: Random,
  until: number,
  attempt: (what: string, work: () => Promise<void>) => Promise<void>,
): Promise<void> {
  for (let number = 1; ; number++) {
    const pause = 500 + random.below(3000);
    if (Date.now() + pause > until) return;
    await delay(pause);
    await attempt('an upload', () => uploadAndDelete(service, number));
  }
}

/** Whether the service answers northbound. */
export async function checkNorth(north: string): Promise<void> {
  const answer = await ask(north, '/images');
  if (answer.status !== 200 || !answer.complete) throw new Cut(`GET /images: ${answer.status}`);
}
