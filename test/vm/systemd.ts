/**
 * The service under systemd, from its installation to its removal, and the same for the tarball. The tests go on where
 * the one before has ended.
 */
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { isInstalled } from '../fixtures/installed.js';
import { must, packagesIn } from '../fixtures/packages.js';
import { run } from '../fixtures/process.js';
import { smallIso } from '../fixtures/small-iso.js';
import { requireVm } from '../fixtures/vm.js';
import { waitFor } from '../fixtures/wait.js';

const { part, folder } = requireVm();
const { deb, tarball } = await packagesIn(folder);
const newer = join(folder, 'newer/newer.deb');

const north = 'http://127.0.0.1:7070';
const south = 'http://127.0.0.1:9090';
const dropIns = '/etc/systemd/system/image-service.service.d';
const config = '/etc/image-service/config.json';
const state = '/var/lib/image-service';
const logFile = '/var/log/image-service/image-service.log';

function systemctl(...args: string[]): Promise<string> {
  return must('systemctl', args);
}

async function show(property: string): Promise<string> {
  return (await systemctl('show', '--value', `--property=${property}`, 'image-service')).trim();
}

/** The main process, which there is. */
async function mainPid(): Promise<number> {
  const pid = Number(await show('MainPID'));
  if (pid === 0) throw new Error(`It does not run: ${await must('journalctl', ['-u', 'image-service'])}`);
  return pid;
}

async function dpkg(...args: string[]): Promise<string> {
  // Node may have come to this machine by another way than Debian's.
  const isPackaged = (await run('dpkg-query', ['--show', 'nodejs'])).code === 0;
  return must('dpkg', [...(isPackaged ? [] : ['--force-depends']), ...args], { DEBIAN_FRONTEND: 'noninteractive' });
}

function isThere(path: string): Promise<boolean> {
  return isInstalled(path);
}

/** The lines of a process's status(5) by their names. */
async function statusOf(pid: string): Promise<ReadonlyMap<string, string>> {
  const lines = (await readFile(`/proc/${pid}/status`, 'utf8')).split('\n');
  return new Map(lines.map((line) => line.split(/:\s*/, 2) as [string, string]));
}

async function processes(): Promise<string[]> {
  const group = await readFile('/sys/fs/cgroup/system.slice/image-service.service/cgroup.procs', 'utf8');
  return group.trim().split('\n');
}

async function serves(t: Test, name: string): Promise<void> {
  const { status, text } = await ask(south, `/${name}/1/hello`);
  t.same({ status, text }, { status: 200, text: 'hello' }, `${name} is served`);
}

async function restarted(pid: number): Promise<void> {
  const isOther = async () => !['0', String(pid)].includes(await show('MainPID'));
  await waitFor('another process', isOther, { seconds: 120 });
  await waitFor('readiness', async () => (await show('ActiveState')) === 'active', { seconds: 120 });
}

async function setDropIn(name: string, text: string): Promise<void> {
  await mkdir(dropIns, { recursive: true });
  await writeFile(join(dropIns, name), text);
  await systemctl('daemon-reload');
}

// A container's image forbids packages to start what they bring.
await rm('/usr/sbin/policy-rc.d', { force: true });

t.test('the package installs, and the service is ready when it says so', async (t) => {
  t.match(await dpkg('--install', deb), 'image-service');
  t.equal(await show('ActiveState'), 'active', await must('journalctl', ['-u', 'image-service']));
  t.equal(await show('UnitFileState'), 'enabled');
  await writeFile(join(folder, 'small.iso'), smallIso({ hello: 'hello' }));
  const url = `${north}/images?name=small&version=1&isoclient=small.iso`;
  t.match(await must('curl', ['-sS', '--upload-file', join(folder, 'small.iso'), url]), 'Upload finished!');
  await waitFor('the image', async () => (await ask(south, '/small/1/hello')).status === 200);
  t.equal(await must('curl', ['-sSf', `${south}/small/1/hello`]), 'hello');
});

t.test('it has no right but to do its work', async (t) => {
  const user = (await must('id', ['--user', 'image-service'])).trim();
  const all = await processes();
  t.ok(all.length > 1, 'the main process and its workers');
  for (const pid of all) {
    const status = await statusOf(pid);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) t.match(status.get(set), /^0+$/, set);
    t.equal(status.get('NoNewPrivs'), '1');
    t.equal(status.get('Seccomp'), '2', 'its system calls are filtered');
    t.match(status.get('Uid'), new RegExp(`^${user}\\s`));
  }
  const security = await must('systemd-analyze', ['security', '--threshold=15', '--no-pager', 'image-service']);
  const level = /exposure level for image-service\.service: ([0-9.]+)/.exec(security)?.[1];
  t.comment(`systemd-analyze security: ${level}`);
  t.ok(Number(level) <= 1.5, security);
});

t.test('the journal and the log file have its lines', async (t) => {
  t.match(await must('journalctl', ['-u', 'image-service', '-o', 'cat']), /info .*southbound on 0\.0\.0\.0 port 9090/);
  t.match(await readFile(logFile, 'utf8'), /info .*southbound on 0\.0\.0\.0 port 9090/);
});

t.test('killed, it is started again', async (t) => {
  const pid = await mainPid();
  process.kill(pid, 'SIGKILL');
  await restarted(pid);
  t.equal(await show('NRestarts'), '1');
  await serves(t, 'small');
});

if (part !== 'short') {
  t.test('it stays the same process when it is reloaded, and when its log is rotated', async (t) => {
    const pid = await mainPid();
    await systemctl('reload', 'image-service');
    if (await isThere('/usr/sbin/logrotate')) {
      await must('logrotate', ['--force', '--verbose', '/etc/logrotate.d/image-service']);
      await waitFor('the new log file', () => isThere(logFile));
      t.ok(await isThere(`${logFile}.1`));
    } else {
      t.skip('logrotate is not installed', () => undefined);
    }
    t.equal(await mainPid(), pid);
    await serves(t, 'small');
  });

  t.test('hanging, it is ended and started again', async (t) => {
    await setDropIn('test.conf', '[Service]\nWatchdogSec=20\n');
    await systemctl('restart', 'image-service');
    const pid = await mainPid();
    process.kill(pid, 'SIGSTOP');
    await restarted(pid);
    t.match(await must('journalctl', ['-u', 'image-service', '-o', 'cat']), /Watchdog timeout/);
    await serves(t, 'small');
    // Twice as long as the watchdog waits: it gets its signs of life.
    const next = await mainPid();
    await new Promise((resolve) => setTimeout(resolve, 40_000));
    t.equal(await mainPid(), next);
  });

  t.test('a newer package takes the place of the older one, and keeps the configuration', async (t) => {
    const edited = (await readFile(config, 'utf8')).replace('"minLogLevel": 1', '"minLogLevel": 0');
    await writeFile(config, edited);
    const pid = await mainPid();
    await dpkg('--install', newer);
    t.not(await mainPid(), pid);
    t.equal(await must('image-service', ['--version']), '1000.0.0\n');
    t.match(await must('journalctl', ['-u', 'image-service', '-o', 'cat']), 'image-service 1000.0.0 starts');
    t.equal(await readFile(config, 'utf8'), edited);
    t.same(await readdir('/etc/image-service'), ['config.json']);
    await serves(t, 'small');
  });

  t.test('with the drop-in for it, the kernel mounts the ISOs, and the host sees the mounts', async (t) => {
    const usual = await readFile(config, 'utf8');
    await writeFile(config, usual.replace('"mount": {', '"mount": { "driver": "loop",'));
    await copyFile('/usr/lib/image-service/systemd/loop.conf', join(dropIns, 'loop.conf'));
    await systemctl('daemon-reload');
    await systemctl('restart', 'image-service');
    const [image] = json(await ask(north, '/images')) as { id: string }[];
    t.match(image, { status: 'OK', driver: 'loop' });
    t.equal(await readFile(join(state, 'mounts', image?.id ?? '', 'hello'), 'utf8'), 'hello');
    await serves(t, 'small');
    t.equal((await statusOf(String(await mainPid()))).get('CapEff'), '0000000000200000', 'CAP_SYS_ADMIN alone');
    await rm(join(dropIns, 'loop.conf'));
    await writeFile(config, usual);
    await systemctl('daemon-reload');
    await systemctl('restart', 'image-service');
    t.match(json(await ask(north, '/images')), [{ status: 'OK', driver: 'direct' }]);
    await serves(t, 'small');
  });
}

t.test('removed, it is gone, and back with all that it had when it is installed again', async (t) => {
  await dpkg('--remove', 'image-service');
  t.equal(await show('LoadState'), 'masked');
  await t.rejects(ask(north, '/images'), { code: 'ECONNREFUSED' });
  t.notOk(await isThere('/usr/lib/image-service'));
  for (const path of [config, join(state, 'inventory.json')]) t.ok(await isThere(path), path);
  await dpkg('--install', newer);
  await serves(t, 'small');
});

t.test('purged, nothing of it is left', async (t) => {
  await dpkg('--purge', 'image-service');
  t.equal(await show('LoadState'), 'not-found');
  const found = await run('find', ['/etc', '/var/lib', '/var/log', '/usr/lib', '/usr/bin', '-name', 'image-service*']);
  t.equal(found.stdout, '');
  t.not((await run('getent', ['passwd', 'image-service'])).code, 0);
});

/** What the released service leaves: its folder, with an ISO and what it has recorded of it. */
async function makeReleased(old: string): Promise<void> {
  await mkdir(join(old, 'static/iso'), { recursive: true });
  await mkdir(join(old, 'static/common'), { recursive: true });
  await writeFile(join(old, 'static/iso/old.iso'), smallIso({ hello: 'hello' }));
  await writeFile(join(old, 'static/common/kernel'), 'kernel');
  const record = {
    id: 'a3b2a1f0-5b5c-4c7e-8f3d-0a4b6f2c9d11',
    name: 'old',
    version: '1',
    iso: 'old.iso',
    status: 'OK',
  };
  await writeFile(join(old, 'inventory.json'), JSON.stringify({ images: [record] }));
}

if (part !== 'short') {
  t.test('from the tarball it takes over from the released service, and is uninstalled', async (t) => {
    const old = join(folder, 'old');
    await makeReleased(old);
    await must('tar', ['-xzf', tarball, '-C', folder]);
    const top = tarball.replace(/\.tar\.gz$/, '');
    await must(join(top, 'systemd/install'), []);
    t.equal(await show('UnitFileState'), 'enabled');
    await must('install', ['-d', state]);
    await must('cp', ['-a', join(old, 'static'), join(old, 'inventory.json'), state]);
    await must('chown', ['-R', 'image-service:', state]);
    await systemctl('start', 'image-service');
    await waitFor('the image', async () => (await ask(south, '/old/1/hello')).status === 200);
    t.equal((await ask(south, '/common/kernel')).text, 'kernel');
    t.match(json(await ask(north, '/images')), [{ name: 'old', status: 'OK', iso: 'old.iso' }]);

    await must('/usr/lib/image-service/systemd/uninstall', []);
    t.equal(await show('LoadState'), 'not-found');
    t.ok(await isThere(join(state, 'inventory.json')));
    await must(join(top, 'systemd/uninstall'), ['--purge']);
    for (const path of [state, config, logFile]) t.notOk(await isThere(path), path);
  });
}
