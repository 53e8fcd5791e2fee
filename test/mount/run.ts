import { execFile } from 'node:child_process';
import { open, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { type Outcome, run, start, wordsOf } from '../../lib/mount/run.js';
import { waitFor } from '../fixtures/wait.js';

const limits = { timeout: 20_000 };

/** Runs a few words of shell, which is the program under test and not how it is called. */
function script(text: string, ...args: string[]): Promise<Outcome> {
  return run('/bin/sh', ['-c', text, 'sh', ...args], limits);
}

async function isAlive(pid: number): Promise<boolean> {
  // A zombie is as good as dead: nobody reaps it in some containers.
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => ') Z');
  return !/\) [ZX]/.test(stat);
}

t.test('how a program ended, and what it said, is told', async (t) => {
  t.same(await script('exit 0'), { type: 'exit', status: 0, stderr: '' });
  t.same(await script('echo " no such thing " >&2; exit 32'), { type: 'exit', status: 32, stderr: 'no such thing' });
  t.same(await script('echo bye >&2; kill -KILL $$'), { type: 'signal', signal: 'SIGKILL', stderr: 'bye' });
});

t.test('a program that is not there, or is none, was not started', async (t) => {
  const folder = t.testdir({ text: 'no program' });
  t.same(await run(join(folder, 'none'), [], limits), { type: 'not started', code: 'ENOENT', stderr: '' });
  t.same(await run(join(folder, 'text'), [], limits), { type: 'not started', code: 'EACCES', stderr: '' });
});

t.test('without a descriptor for its words, a program was not started', async (t) => {
  const fixture = fileURLToPath(new URL('../fixtures/run-exhausted.js', import.meta.url));
  const script = 'ulimit -n 200 && exec "$0" "$1"';
  const { stdout } = await promisify(execFile)('/bin/sh', ['-c', script, process.execPath, fixture]);
  t.same(JSON.parse(stdout), { type: 'not started', code: 'EMFILE', stderr: '' });
});

t.test('a failure to start that is thrown is an outcome as any other', async (t) => {
  t.same(await run('/bin/true', ['\0'], limits), { type: 'not started', code: 'ERR_INVALID_ARG_VALUE', stderr: '' });
});

t.test('arguments arrive as they are', async (t) => {
  const args = ['a b', '', '-o', '$(id)', ';', '*', '"', "'", '\n', 'ü'];
  const { stderr } = await script('printf "[%s]" "$@" >&2', ...args);
  t.equal(stderr, args.map((arg) => `[${arg}]`).join(''));
});

t.test('a program gets nothing of the environment, and no open file', async (t) => {
  process.env['IMAGE_SERVICE_SECRET'] = 'secret';
  const path = join(t.testdir({}), 'open');
  const file = await open(path, 'w');
  // What the test runner itself gives to all processes has other names.
  const { stderr } = await script(
    'echo "$PATH $LC_ALL $IMAGE_SERVICE_SECRET $HOME" >&2; ls -l /proc/$$/fd >&2; pwd >&2',
  );
  await file.close();
  delete process.env['IMAGE_SERVICE_SECRET'];
  t.match(stderr, /^\/usr\/sbin:\/usr\/bin:\/sbin:\/bin C {2}$/m);
  t.notOk(stderr.includes(path), stderr);
  t.ok(stderr.endsWith('\n/'), 'it is nowhere where it would keep a disk busy');
});

t.test('a program that does not end is killed, with what it has started', async (t) => {
  const pids = join(t.testdir({}), 'pids');
  const outcome = await run('/bin/sh', ['-c', 'sleep 1000 & echo $$ $! > "$0"; echo wait >&2; wait', pids], {
    timeout: 2000,
  });
  t.same(outcome, { type: 'timeout', stderr: 'wait' });
  for (const pid of (await readFile(pids, 'utf8')).split(' ')) {
    await waitFor(`the end of ${pid}`, async () => !(await isAlive(Number(pid))));
  }
});

t.test('a program that ends is not waited for on account of what it leaves running', async (t) => {
  const pidFile = join(t.testdir({}), 'pid');
  await writeFile(pidFile, '');
  const outcome = await run('/bin/sh', ['-c', 'sleep 1000 & echo $! > "$0"; echo done >&2; exit 3', pidFile], limits);
  t.same(outcome, { type: 'exit', status: 3, stderr: 'done' });
  process.kill(Number(await readFile(pidFile, 'utf8')), 'SIGKILL');
});

t.test('of a flood of words the beginning is kept', async (t) => {
  const outcome = await script('echo first >&2; head -c 10000000 /dev/zero | tr "\\0" x >&2; exit 1');
  t.match(outcome, { type: 'exit', status: 1, stderr: /^first\nx+$/ });
  t.equal(outcome.stderr.length, 4096);
});

t.test('a program beside the service is killed at once', async (t) => {
  const running = start('/bin/sleep', ['1000']);
  running.kill();
  t.match(await running.ended, { type: 'signal', signal: 'SIGKILL' });
  running.kill();
});

t.test('what a program said, in one line without host paths', (t) => {
  const names = new Map([
    ['/srv/isos/a b.iso', 'the ISO'],
    ['/srv/mnt/1', 'the mount point'],
  ]);
  const exit = (stderr: string): Outcome => ({ type: 'exit', status: 32, stderr });
  const cases: [outcome: Outcome, words: string][] = [
    [exit(''), 'exit status 32'],
    [exit('mount: /srv/mnt/1: permission denied.'), 'mount: the mount point: permission denied.'],
    [
      exit('mount: /srv/mnt/1: bad superblock on /dev/loop0.\n       dmesg(1) may have more information.'),
      'mount: the mount point: bad superblock on /dev/loop0.',
    ],
    [exit('failed to setup loop device for /srv/isos/a b.iso.'), 'failed to setup loop device for the ISO.'],
    [exit('cannot open "/etc/secret": no'), 'cannot open "…": no'],
    [exit('and/or 1/2 of it'), 'and/or 1/2 of it'],
    [{ type: 'signal', signal: 'SIGSEGV', stderr: 'oops' }, 'ended by SIGSEGV: oops'],
    [{ type: 'timeout', stderr: '' }, 'no end in sight: killed'],
    [{ type: 'not started', code: 'ENOENT', stderr: '' }, 'not installed'],
    [{ type: 'not started', code: 'EACCES', stderr: '' }, 'cannot be started: EACCES'],
  ];
  for (const [outcome, words] of cases) t.equal(wordsOf(outcome, names), words);
  t.end();
});
