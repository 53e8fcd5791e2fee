import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ask } from '../fixtures/client.js';
import { startProcess, startProgram } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';
import { waitFor } from '../fixtures/wait.js';
import { workersOf } from '../fixtures/workers.js';

interface Event {
  readonly time: string;
  readonly level: string;
  readonly message: string;
}

async function readLines(file: string): Promise<string[]> {
  return (await readFile(file, 'utf8')).trimEnd().split('\n');
}

t.test('the log file has every line that is printed, the last one too', async (t) => {
  const folder = await temporaryFolder(t);
  const logFile = join(folder, 'service.log');
  const service = await startProcess(t, folder, { logFile, southboundWorkers: 1 });
  for (let count = 0; count < 20; count++) await ask(service.south, '/iso/');
  const { code, stdout } = await service.end('SIGTERM');
  t.equal(code, 0);
  t.match(stdout, / info {5}image-service \S+ starts\n[^]* info .*GET \/iso\/ 200[^]* info {5}stopped\n$/);
  t.equal(await readFile(logFile, 'utf8'), stdout);
});

t.test('as JSON every line is an object, on standard output and in the file', async (t) => {
  const folder = await temporaryFolder(t);
  const logFile = join(folder, 'service.log');
  const service = await startProcess(t, folder, { logFile, logFormat: 'json' });
  const { stdout } = await service.end('SIGINT');
  const events = stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Event);
  t.match(events.at(0), { time: /Z$/, level: 'info', message: /starts$/ });
  t.match(events.at(-1), { time: /Z$/, level: 'info', message: 'stopped' });
  t.equal(await readFile(logFile, 'utf8'), stdout);
});

for (const kind of ['', ', though its configuration is broken by now']) {
  t.test(`after log rotation and SIGHUP the service goes on in a new file, and no line is lost${kind}`, async (t) => {
    const folder = await temporaryFolder(t);
    const logFile = join(folder, 'service.log');
    const service = await startProcess(t, folder, { logFile, southboundWorkers: 1 });
    const pid = service.child.pid ?? 0;
    const workers = await workersOf(pid);
    if (kind !== '') await writeFile(join(folder, 'config.json'), '{');
    await rename(logFile, `${logFile}.1`);
    for (const each of [...workers, pid]) process.kill(each, 'SIGHUP');
    await waitFor('a new file', () =>
      readFile(logFile).then(
        () => true,
        () => false,
      ),
    );
    t.equal((await ask(service.south, '/iso/')).status, 200);
    t.same(await workersOf(pid), workers);
    const { code, stdout } = await service.end('SIGTERM');
    t.equal(code, 0);
    t.match(await readFile(`${logFile}.1`, 'utf8'), /starts\n[^]*SIGHUP/);
    t.match(await readFile(logFile, 'utf8'), /GET \/iso\/ 200[^]* stopped\n$/);
    t.equal((await readFile(`${logFile}.1`, 'utf8')) + (await readFile(logFile, 'utf8')), stdout);
  });
}

t.test('SIGHUP without a log file ends nothing', async (t) => {
  const service = await startProcess(t, await temporaryFolder(t), { southboundWorkers: 1 });
  service.child.kill('SIGHUP');
  await waitFor('SIGHUP', () => service.output().includes('SIGHUP'));
  t.equal((await ask(service.north, '/images')).status, 200);
  t.match(await service.end('SIGTERM'), { code: 0 });
});

t.test('a full disk under the log is said once, and the service goes on and ends as ever', async (t) => {
  const service = await startProcess(t, await temporaryFolder(t), { logFile: '/dev/full', southboundWorkers: 1 });
  for (let count = 0; count < 20; count++) t.equal((await ask(service.north, '/images')).status, 200);
  const { code, stdout } = await service.end('SIGTERM');
  t.equal(code, 0);
  t.equal(stdout.match(/ error .*log file \/dev\/full: lines are missing from it: ENOSPC/g)?.length, 1);
  t.match(stdout, /stopped\n$/);
});

t.test('a log file that cannot be opened is refused at the start, by its key', async (t) => {
  const folder = await temporaryFolder(t);
  for (const [logFile, reason] of [
    [join(folder, 'none/service.log'), 'ENOENT'],
    [folder, 'EISDIR'],
  ] as const) {
    const started = startProgram(folder, { logFile });
    await t.rejects(started, { message: new RegExp(`It ended: image-service: logFile "${logFile}": ${reason}`) });
  }
});

t.test('a start that fails leaves its lines in the log file', async (t) => {
  const folder = await temporaryFolder(t);
  const logFile = join(folder, 'service.log');
  await writeFile(join(folder, 'inventory.json'), '{"images": [{"id"');
  await t.rejects(startProgram(folder, { logFile, tlsCaFile: join(folder, 'none.pem') }), { message: /none\.pem/ });
  t.match(await readLines(logFile), [/starts/, / critical .*inventory/]);
});
