import { stat } from 'node:fs/promises';
import t from 'tap';
import { sourceOf } from '../lib/tree.js';

const second = 1_000_000_000n;

/** The stats of a file whose state changed so many seconds ago. */
async function changedBefore(seconds: bigint) {
  const stats = await stat('package.json', { bigint: true });
  return Object.assign(stats, { ctimeNs: BigInt(Date.now()) * 1_000_000n - seconds * second });
}

t.test('a file that is left alone has one name, and another one when it has changed', async (t) => {
  const stats = await changedBefore(10n);
  const name = sourceOf(stats);
  t.equal(sourceOf(stats), name);
  for (const member of ['dev', 'ino', 'size', 'mtimeNs', 'ctimeNs'] as const) {
    const before = stats[member];
    t.not(sourceOf(Object.assign(stats, { [member]: before + 1n })), name, member);
    Object.assign(stats, { [member]: before });
  }
  t.equal(sourceOf(stats), name);
});

t.test(
  'a file that has only just changed has a new name each time: it can change again and look the same',
  async (t) => {
    const stats = await changedBefore(1n);
    t.not(sourceOf(stats), sourceOf(stats));
  },
);
