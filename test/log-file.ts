import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LogFile } from '../lib/log-file.js';
import { beforeEach, systemError } from './fixtures/disk.js';
import { run } from './fixtures/process.js';
import { temporaryFolder } from './fixtures/service.js';

interface Opened {
  readonly file: LogFile;
  readonly path: string;
  readonly reports: string[];
  readonly text: () => Promise<string>;
}

async function start(t: Test, name = 'service.log'): Promise<Opened> {
  const path = join(await temporaryFolder(t), name);
  const reports: string[] = [];
  const file = await LogFile.open(path, {
    report: (words) => reports.push(words),
    gap: (lines) => `${lines} missing\n`,
  });
  t.teardown(() => file.close());
  return { file, path, reports, text: () => readFile(path, 'utf8') };
}

t.test('lines are appended in order behind what is there, and are in the file once it is closed', async (t) => {
  const folder = await temporaryFolder(t);
  const path = join(folder, 'service.log');
  await writeFile(path, 'before\n');
  const file = await LogFile.open(path, { report: (words: string) => t.fail(words), gap: String });
  const lines = Array.from({ length: 1000 }, (_, index) => `line ${index}\n`);
  for (const line of lines) file.write(line);
  await file.close();
  file.write('too late\n');
  await file.close();
  t.equal(await readFile(path, 'utf8'), `before\n${lines.join('')}`);
});

t.test('a new file is for the service and its group alone', async (t) => {
  const { path } = await start(t);
  t.equal((await stat(path)).mode & 0o777 & ~0o640, 0);
});

t.test('what cannot be opened is refused, a pipe that nobody reads too', async (t) => {
  const folder = await temporaryFolder(t);
  const options = { report: (words: string) => t.fail(words), gap: String };
  await t.rejects(LogFile.open(folder, options), { code: 'EISDIR' });
  await t.rejects(LogFile.open(join(folder, 'none/a.log'), options), { code: 'ENOENT' });
  await run('mkfifo', [join(folder, 'pipe')]);
  await t.rejects(LogFile.open(join(folder, 'pipe'), options), { code: 'ENXIO' });
});

t.test('a full disk is said once, and how many lines are missing when there is room again', async (t) => {
  const { file, reports, text } = await start(t);
  let isFull = false;
  await beforeEach(t, 'write', () => (isFull ? Promise.reject(systemError('ENOSPC')) : Promise.resolve()));
  file.write('one\n');
  await file.flush();
  isFull = true;
  for (const line of ['two\n', 'three\n', 'four\n']) {
    file.write(line);
    await file.flush();
  }
  t.match(reports, [/^lines are missing from it: ENOSPC/]);
  isFull = false;
  file.write('five\n');
  await file.flush();
  t.equal(await text(), 'one\n3 missing\nfive\n');
  t.match(reports, [/ENOSPC/, 'it is written again; 3 lines are missing']);
  isFull = true;
  file.write('six\n');
  await file.flush();
  t.match(reports, [/ENOSPC/, /again/, /ENOSPC/], 'the next time is said again');
});

t.test('a line that got half onto the disk does not spoil the next one', async (t) => {
  const { file, text } = await start(t);
  let calls = 0;
  await beforeEach(t, 'write', (args) => {
    calls += 1;
    if (calls === 2) return Promise.reject(systemError('EIO'));
    // The disk takes four bytes, and then no more.
    if (calls === 1 && Array.isArray(args)) args[0] = (args[0] as Buffer).subarray(0, 4);
    return Promise.resolve();
  });
  file.write('one\ntwo\n'.replace('\n', ' '));
  file.write('three\n');
  await file.flush();
  file.write('four\n');
  await file.flush();
  t.equal(await text(), 'one \n2 missing\nfour\n');
});

t.test('a disk that does not answer costs bounded memory, and the end of the service a second at most', async (t) => {
  const { file, reports, text } = await start(t);
  let answer: () => void = () => undefined;
  const hangs = new Promise<void>((resolve) => (answer = resolve));
  await beforeEach(t, 'write', () => hangs);
  file.write('one\n');
  await file.flush();
  const line = `${'x'.repeat(1023)}\n`;
  for (let count = 0; count < 3000; count++) file.write(line);
  t.match(reports, [/its disk does not answer/]);
  answer();
  file.write(line);
  await file.flush();
  file.write('last\n');
  await file.flush();
  const written = await text();
  const kept = written.split('\n').filter((each) => each.startsWith('x')).length;
  const missing = Number(/^(\d+) missing$/m.exec(written)?.[1]);
  t.ok(kept <= 1024, `${kept} kept`);
  t.equal(kept + missing, 3001, 'every line is there, or counted');
  t.match(written, /^one\nx/, 'those that waited stand before those that are missing');
  t.ok(written.endsWith('last\n'));
});
