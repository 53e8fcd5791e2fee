import { mkdir, readFile, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { Hashing } from '../../lib/images/hashing.js';
import { Store } from '../../lib/images/store.js';
import { StoreProbe, tryStore } from '../../lib/images/store-probe.js';
import { createLog } from '../../lib/log.js';
import { systemError } from '../fixtures/disk.js';
import { temporaryFolder } from '../fixtures/service.js';

const long = 2 ** 30;

t.test('a store that can be written and has room has no problem, and nothing is left in it', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, '.image-service'));
  const free = await tryStore(folder);
  t.ok(free > 0);
  t.same(await readdir(join(folder, '.image-service')), []);
  t.equal(
    await new StoreProbe(
      () => tryStore(folder),
      () => 0,
    ).problem(),
    undefined,
  );
});

t.test('what keeps a store from being written is said in words, without a path', async (t) => {
  const cases: [code: string, words: string][] = [
    ['ENOSPC', 'cannot be written: There is no room left on the disk'],
    ['EROFS', 'cannot be written: The disk is read-only'],
    ['EACCES', 'cannot be written: The service has no permission for its own files'],
    ['EIO', 'cannot be written: EIO'],
    ['ENOENT', 'cannot be written: its folder is missing'],
  ];
  for (const [code, words] of cases) {
    t.equal(
      await new StoreProbe(
        () => Promise.reject(systemError(code)),
        () => 0,
      ).problem(),
      words,
    );
  }
});

t.test('a store whose folder has gone, or is a file, cannot be written until it is back', async (t) => {
  const folder = await temporaryFolder(t);
  const probe = new StoreProbe(
    () => tryStore(folder),
    () => 0,
    { goodFor: 0 },
  );
  t.match(await probe.problem(), /its folder is missing/);
  await writeFile(join(folder, '.image-service'), '');
  t.match(await probe.problem(), /cannot be written: ENOTDIR/);
  await rm(join(folder, '.image-service'));
  await mkdir(join(folder, '.image-service'));
  t.equal(await probe.problem(), undefined);
});

t.test(
  'what an earlier run has left in the place of the file does not matter, and a link is not followed',
  async (t) => {
    const folder = await temporaryFolder(t);
    await mkdir(join(folder, '.image-service'));
    await writeFile(join(folder, '.image-service/probe.tmp'), 'left');
    await tryStore(folder);
    t.same(await readdir(join(folder, '.image-service')), []);
    await writeFile(join(folder, 'precious'), 'precious');
    await symlink(join(folder, 'precious'), join(folder, '.image-service/probe.tmp'));
    await t.rejects(tryStore(folder), { code: 'ELOOP' });
    t.equal(await readFile(join(folder, 'precious'), 'utf8'), 'precious');
  },
);

t.test('a store with less than minFreeBytes says how much there is', async (t) => {
  const probe = (free: number) =>
    new StoreProbe(
      () => Promise.resolve(free),
      () => 1000,
    ).problem();
  t.equal(await probe(999), 'has 999 bytes free, and minFreeBytes is 1000');
  t.equal(await probe(1000), undefined);
});

t.test('however often somebody asks, the disk is asked once in a while', async (t) => {
  let attempts = 0;
  const attempt = () => Promise.resolve(++attempts);
  const probe = new StoreProbe(attempt, () => 0, { goodFor: long });
  await Promise.all(Array.from({ length: 1000 }, () => probe.problem()));
  await probe.problem();
  t.equal(attempts, 1);
  const eager = new StoreProbe(attempt, () => 0, { goodFor: 0 });
  await eager.problem();
  await eager.problem();
  t.equal(attempts, 3, 'and again when the outcome is too old');
});

t.test('a disk that hangs is said, is not asked twice, and is well again when it answers', async (t) => {
  let attempts = 0;
  const answers: ((free: number) => void)[] = [];
  const attempt = () => {
    attempts += 1;
    return attempts === 1 ? new Promise<number>((resolve) => answers.push(resolve)) : Promise.resolve(1);
  };
  const probe = new StoreProbe(attempt, () => 0, { goodFor: 0, patience: 20 });
  t.equal(await probe.problem(), 'does not answer');
  t.same(await Promise.all([probe.problem(), probe.problem()]), ['does not answer', 'does not answer']);
  t.equal(attempts, 1);
  for (const answer of answers) answer(1);
  t.equal(await probe.problem(), undefined);
});

t.test('a kill in between leaves nothing for good', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, '.image-service'));
  await writeFile(join(folder, '.image-service/probe.tmp'), 'half');
  const hashing = new Hashing();
  const log = createLog(5, () => undefined);
  const store = await Store.open(folder, { log, hashing, keptFor: () => 1000 });
  t.same(await readdir(join(folder, '.image-service')), []);
  await store.stop();
  await hashing.stop();
});
