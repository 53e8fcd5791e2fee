import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { farEnd } from '../fixtures/download-server.js';
import { mainFile, run, startProcess, type TestProcess } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';
import { begin, finish } from '../fixtures/slow-download.js';
import { smallIso } from '../fixtures/small-iso.js';
import { waitFor } from '../fixtures/wait.js';
import { killWorkers, withEach, workersOf } from '../fixtures/workers.js';

type Values = Readonly<Record<string, unknown>>;

const done = /the configuration was read again|nothing of the configuration has changed/g;

/** The service in a process of its own, whose configuration file a test can change. */
class Subject {
  private constructor(
    readonly folder: string,
    readonly running: TestProcess,
  ) {}

  static async start(t: Test, settings: Values = {}): Promise<Subject> {
    const folder = await temporaryFolder(t);
    await mkdir(join(folder, 'static'));
    return new Subject(folder, await startProcess(t, folder, { stopTimeout: 500, ...settings }));
  }

  get pid(): number {
    return this.running.child.pid ?? 0;
  }

  /** Changes members of the file, sends SIGHUP, and waits until the service has said what became of it. */
  async reload(change: Values): Promise<string> {
    await this.change(change);
    return this.hangUp();
  }

  async change(change: Values): Promise<void> {
    const file = join(this.folder, 'config.json');
    await writeFile(file, JSON.stringify({ ...(JSON.parse(await readFile(file, 'utf8')) as object), ...change }));
  }

  async hangUp(): Promise<string> {
    const before = this.running.output();
    const count = () => [...this.running.output().matchAll(done)].length;
    const earlier = count();
    this.running.child.kill('SIGHUP');
    await waitFor('the end of the reload', () => count() > earlier);
    return this.running.output().slice(before.length);
  }
}

/** Asks every process that serves the machines. */
async function askEach({ pid, running }: Subject, path: string, workers: number) {
  return workers === 0 ? [await ask(running.south, path)] : withEach(pid, () => ask(running.south, path));
}

for (const southboundWorkers of [0, 2]) {
  const who = southboundWorkers === 0 ? 'the main process' : 'every worker';

  t.test(`after SIGHUP ${who} goes by another wait`, async (t) => {
    const far = await farEnd(t, (_, response) => response.writeHead(200, { 'Content-Length': 10 ** 6 }).write('x'));
    const subject = await Subject.start(t, { southboundWorkers, southboundWait: 600_000 });
    await ask(subject.running.north, `/images?name=a&version=1&isoweb=${far.url}/a.iso`, { method: 'PUT' });
    const said = await subject.reload({ southboundWait: 0 });
    t.match(said, 'SIGHUP: reading the configuration again');
    t.match(said, 'the configuration was read again; southboundWait changed');
    // With the wait of before nobody would have an answer within the time of the test.
    for (const { status } of await askEach(subject, '/a/1/x', southboundWorkers)) t.equal(status, 503);
  });

  t.test(`after SIGHUP ${who} logs what the level asks for`, async (t) => {
    const subject = await Subject.start(t, { southboundWorkers, minLogLevel: 1 });
    await subject.reload({ minLogLevel: 2 });
    await askEach(subject, '/early', southboundWorkers);
    await subject.change({ minLogLevel: 1 });
    subject.running.child.kill('SIGHUP');
    const count = () => [...subject.running.output().matchAll(/ info .* GET \/late 404/g)].length;
    await waitFor('the lines', async () => {
      await askEach(subject, '/late', southboundWorkers);
      return count() >= Math.max(southboundWorkers, 1);
    });
    t.notMatch(subject.running.output(), '/early');
  });

  t.test(`after SIGHUP ${who} goes by another rate limit`, async (t) => {
    const subject = await Subject.start(t, { southboundWorkers });
    await writeFile(join(subject.folder, 'static/file'), Buffer.alloc(1_000_000));
    await subject.reload({ rateLimit: 1 });
    const slow = await begin(`${subject.running.south}/file`);
    const slowEnd = finish(slow);
    await subject.reload({ rateLimit: 0 });
    for (const { body } of await askEach(subject, '/file', southboundWorkers)) t.equal(body.length, 1_000_000);
    t.notOk(slow.complete, 'what has begun ends as it began');
    slow.destroy();
    t.notOk((await slowEnd).complete);
  });
}

t.test('a worker that is started after SIGHUP goes by what is in force', async (t) => {
  const far = await farEnd(t, (_, response) => response.writeHead(200, { 'Content-Length': 10 ** 6 }).write('x'));
  const subject = await Subject.start(t, { southboundWorkers: 1, southboundWait: 600_000 });
  await ask(subject.running.north, `/images?name=a&version=1&isoweb=${far.url}/a.iso`, { method: 'PUT' });
  await subject.reload({ southboundWait: 0 });
  await killWorkers(subject.pid, await workersOf(subject.pid));
  const [answer] = await askEach(subject, '/a/1/x', 1);
  t.equal(answer?.status, 503);
});

t.test('northbound goes by what is in force, and connections stay open', async (t) => {
  const subject = await Subject.start(t);
  await writeFile(join(subject.folder, 'a.iso'), smallIso({ readme: 'hello' }));
  await writeFile(join(subject.folder, 'static/file'), Buffer.alloc(20_000_000));
  const download = await begin(`${subject.running.south}/file`);
  const path = `/images?name=a&version=1&isolocal=${subject.folder}/a.iso`;
  const said = await subject.reload({ isoLocalDirs: ['/srv'], isoWebHosts: ['a.example'], uploadTtl: 1 });
  t.match(said, '; isoLocalDirs, isoWebHosts, uploadTtl changed');
  t.match(json(await ask(subject.running.north, path, { method: 'PUT' })), { code: 'FORBIDDEN' });
  const web = await ask(subject.running.north, '/images?name=a&version=1&isoweb=http://b.example/a.iso', {
    method: 'PUT',
  });
  t.match(json(web), { code: 'FORBIDDEN' });
  await subject.reload({ isoLocalDirs: [subject.folder] });
  t.equal((await ask(subject.running.north, path, { method: 'PUT' })).status, 202);
  t.same(await finish(download), { bytes: 20_000_000, complete: true });
});

t.test('keys that wait for a restart are named, each in a warning, and the rest is put in force', async (t) => {
  const subject = await Subject.start(t);
  const said = await subject.reload({ inventoryFile: '/elsewhere.json', mount: { maxEntries: 5000 }, rateLimit: 5 });
  await waitFor('the warnings', () =>
    subject.running.output().includes('mount.maxEntries: takes effect after a restart'),
  );
  t.match(subject.running.output(), / warning +inventoryFile: takes effect after a restart\n/);
  t.match(said, '; rateLimit changed');
  t.notMatch(subject.running.output(), 'httpEndpoints: takes');
  t.equal((await ask(subject.running.north, '/images')).status, 200);
});

t.test('a broken configuration changes nothing, and is said line by line', async (t) => {
  const subject = await Subject.start(t, { minLogLevel: 1 });
  const said = await subject.reload({ isoDirr: 'x', rateLimit: -1, minLogLevel: 5 });
  t.match(said, / error +\S+config\.json: isoDirr: unknown key/);
  t.match(said, / error +\S+config\.json: rateLimit: -1 is not allowed/);
  t.match(said, / error +nothing of the configuration has changed\n/);
  await writeFile(join(subject.folder, 'config.json'), '{');
  t.match(await subject.hangUp(), / error .*not JSON/, 'and the level is as it was');
  t.equal((await ask(subject.running.north, '/images')).status, 200);
});

t.test('a file of authorities that cannot be used changes nothing', async (t) => {
  const subject = await Subject.start(t, { minLogLevel: 1 });
  const said = await subject.reload({ tlsCaFile: '/missing.pem', minLogLevel: 0 });
  t.match(said, /tlsCaFile "\/missing\.pem": there is no such file/);
  await ask(subject.running.north, '/images');
  await subject.hangUp();
  t.notMatch(subject.running.output(), ' debug ');
});

t.test('SIGHUP to all processes of a terminal ends none of them', async (t) => {
  const subject = await Subject.start(t, { southboundWorkers: 2 });
  const workers = await workersOf(subject.pid);
  for (const worker of workers) process.kill(worker, 'SIGHUP');
  t.match(await subject.hangUp(), 'nothing changed');
  await askEach(subject, '/', 2);
  t.same(await workersOf(subject.pid), workers);
  t.equal((await subject.running.end('SIGTERM')).code, 0);
});

t.test('SIGHUP during the start is heard when the service has started', async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'static'));
  // Reading it takes as long as the test likes.
  const inventoryFile = join(folder, 'inventory.json');
  t.equal((await run('mkfifo', [inventoryFile])).code, 0);
  const endpoint = (routers: string) => ({ address: '127.0.0.1', port: 0, routers });
  const config = {
    httpEndpoints: [endpoint('northbound'), endpoint('southbound')],
    httpFileServiceRootDir: join(folder, 'static'),
    isoDir: join(folder, 'static/iso'),
    microkernelDir: join(folder, 'static/common'),
    inventoryFile,
  };
  const file = join(folder, 'config.json');
  await writeFile(file, JSON.stringify(config));
  const child = spawn(process.execPath, [mainFile, '--config', file], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  // Opens when the service has opened it too.
  const inventory = await open(inventoryFile, 'w');
  await writeFile(file, JSON.stringify({ ...config, rateLimit: 5 }));
  child.kill('SIGHUP');
  await waitFor('the signal', () => output.includes('SIGHUP'));
  t.notMatch(output, 'was read again');
  await inventory.writeFile('{"images": []}');
  await inventory.close();
  await waitFor('the reload', () => output.includes('; rateLimit changed'));
  child.kill('SIGTERM');
  t.same(await closed, [0, null]);
  t.match(output, /southbound on [^]*read again/);
});
