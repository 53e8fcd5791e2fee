import t from 'tap';
import { OpenFiles } from '../../lib/mount/open-files.js';

const forever = 1e9;

t.test('files are counted, each closed once', (t) => {
  const files = new OpenFiles();
  const [one, two] = [files.hold(), files.hold()];
  t.equal(files.count, 2);
  one();
  one();
  t.equal(files.count, 1);
  two();
  t.equal(files.count, 0);
  t.end();
});

t.test('without open files there is nothing to wait for', async () => {
  await new OpenFiles().drained(forever);
});

t.test('the last file ends the waiting of all', async (t) => {
  const files = new OpenFiles();
  const [one, two] = [files.hold(), files.hold()];
  let ended = 0;
  const waiting = [1, 2].map(() => files.drained(forever).then(() => ended++));
  one();
  await Promise.resolve();
  t.equal(ended, 0);
  two();
  await Promise.all(waiting);
  t.equal(ended, 2);
});

t.test('the waiting has an end with files open too', async (t) => {
  const files = new OpenFiles();
  files.hold();
  await files.drained(1);
  t.equal(files.count, 1);
});
