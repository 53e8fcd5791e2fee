import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openLog } from '../lib/log-output.js';
import { beforeEach, systemError } from './fixtures/disk.js';
import { temporaryFolder } from './fixtures/service.js';
import { waitFor } from './fixtures/wait.js';

t.test('each line is printed, and is in the file as well, in the format of the settings', async (t) => {
  for (const logFormat of ['text', 'json'] as const) {
    const logFile = join(await temporaryFolder(t), 'a.log');
    const printed: string[] = [];
    const { log, close } = await openLog({ minLogLevel: 1, logFormat, logFile }, (line) => printed.push(line));
    log.debug('below the level');
    log.info('hello');
    await close();
    t.equal(printed.length, 1);
    t.match(printed[0], logFormat === 'json' ? /"level":"info","message":"hello"\}\n$/ : / info {5}hello\n$/);
    t.equal(await readFile(logFile, 'utf8'), printed.join(''));
  }
});

t.test('without a file lines are printed, and there is nothing to wait for', async (t) => {
  const printed: string[] = [];
  const settings = { minLogLevel: 0, logFormat: 'text', logFile: undefined } as const;
  const { log, close } = await openLog(settings, (line) => printed.push(line));
  log.info('hello');
  await close();
  t.match(printed, [/hello/]);
});

t.test('what is wrong with the file is printed once, and not written to it', async (t) => {
  const logFile = join(await temporaryFolder(t), 'a.log');
  const printed: string[] = [];
  const settings = { minLogLevel: 0, logFormat: 'json', logFile } as const;
  const { log, close } = await openLog(settings, (line) => printed.push(line));
  let failures = 0;
  await beforeEach(t, 'write', () => (++failures <= 2 ? Promise.reject(systemError('ENOSPC')) : Promise.resolve()));
  log.info('one');
  await waitFor('the first write', () => failures === 1);
  log.info('two');
  await waitFor('the second write', () => failures === 2);
  log.info('three');
  await close();
  t.match(printed, [/one/, /"level":"error","message":"log file .*missing/, /two/, /three/, /written again; 2 lines/]);
  const lines = (await readFile(logFile, 'utf8')).trimEnd().split('\n');
  t.match(lines, [/"message":"2 lines are missing here"/, /"message":"three"/]);
});
