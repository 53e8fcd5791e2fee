import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ServiceError } from '../../lib/errors.js';
import type { ViewChoice } from '../../lib/mount/mount.js';
import { OpenIso, type Reading } from '../../lib/mount/open-iso.js';
import { ReadingCheck } from '../../lib/mount/reading-check.js';
import { smallIso } from '../fixtures/small-iso.js';

async function readingOf(t: Test, view: ViewChoice): Promise<Reading> {
  const path = join(t.testdir({}), 'a.iso');
  await writeFile(path, smallIso({ 'hello.txt': 'hello' }));
  const iso = await OpenIso.open({ id: 'id', path, view });
  await iso.release();
  return iso.reading;
}

t.test('a driver is asked about each reading of an ISO once, and until it agrees', async (t) => {
  const asked: Reading[] = [];
  let refuses = true;
  const check = new ReadingCheck({
    check: (reading) => {
      asked.push(reading);
      return refuses ? Promise.reject(new ServiceError('UNSUPPORTED_ISO', 'no')) : Promise.resolve();
    },
  });
  const [one, two] = [await readingOf(t, 'auto'), await readingOf(t, 'auto')];
  await t.rejects(check.ask(one), { code: 'UNSUPPORTED_ISO', message: 'no' });
  refuses = false;
  for (const reading of [one, one, two, two]) await check.ask(reading);
  t.same(
    asked.map((reading) => reading === one),
    [true, true, false],
  );
});

t.test('an ISO of which another tree is shown since it was changed is refused', async (t) => {
  const check = new ReadingCheck({});
  const [before, after] = [await readingOf(t, 'auto'), await readingOf(t, 'iso9660')];
  await check.ask(before);
  const message = 'The ISO was changed: in place of its rockridge tree it has iso9660 now';
  await t.rejects(check.ask(after), { code: 'UNSUPPORTED_ISO', message });
  await check.ask(before);
});
