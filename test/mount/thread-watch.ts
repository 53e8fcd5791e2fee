import { type ChildProcess, spawn } from 'node:child_process';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { ThreadWatch } from '../../lib/mount/thread-watch.js';
import { makeFifo } from '../fixtures/folder-setup.js';

/** Opens FIFOs for writing, in another process: here there may be no thread for it. */
function openAll(paths: readonly string[]): ChildProcess {
  return spawn('sh', ['-c', 'for path; do : > "$path" & done; wait', 'sh', ...paths], { stdio: 'ignore' });
}

t.test('that no thread is free for files is said again and again, until one is', async (t) => {
  const folder = t.testdir({});
  const fifos = Array.from({ length: 8 }, (_, index) => join(folder, `fifo${index}`));
  await Promise.all(fifos.map(makeFifo));
  let stalls = 0;
  const watch = new ThreadWatch(5, 1, () => stalls++);
  t.teardown(() => watch.stop());
  // Opening a FIFO holds a thread until somebody opens its other end.
  const opening = fifos.map((fifo) => open(fifo, 'r'));
  while (stalls < 3) await delay(5);
  openAll(fifos);
  const handles = await Promise.all(opening);
  await Promise.all(handles.map((handle) => handle.close()));
  t.ok(stalls >= 3);
});

t.test('while threads are free nothing is said', async (t) => {
  const watch = new ThreadWatch(60_000, 1, () => t.fail('threads are free'));
  await delay(20);
  watch.stop();
});
