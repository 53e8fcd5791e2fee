import { chmod, chown, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import t, { type Test } from 'tap';
import { parseEntries } from '../lib/access/entries.js';
import { isSecretOf, parseToken, systemScrypt } from '../lib/access/secrets.js';
import { readConfig } from '../lib/config.js';
import { messageOf } from '../lib/errors.js';
import { isAccessCommand, runAccessCommand } from '../lib/main-access.js';
import { needTools } from './fixtures/iso-tools.js';
import { type Finished, mainFile, run } from './fixtures/process.js';
import { temporaryFolder } from './fixtures/service.js';

const environment = Object.fromEntries(
  Object.entries(process.env).filter(([name]) => !name.startsWith('IMAGE_SERVICE_')),
);

function start(args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Finished> {
  return run(process.execPath, [mainFile, ...args], { env: { ...environment, ...env } });
}

/** Gathers what is written. */
class Written extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

interface Setup {
  readonly authFile: string;
  /** A configuration that names it. */
  readonly config: string;
  /** Runs a command without a process of its own, and gives what one would. */
  readonly command: (words: string, input?: string) => Promise<Pick<Finished, 'code' | 'stdout' | 'stderr'>>;
  readonly entries: () => Promise<ReturnType<typeof parseEntries>>;
}

async function setup(t: Test): Promise<Setup> {
  const folder = await temporaryFolder(t);
  const authFile = join(folder, 'auth.json');
  const config = join(folder, 'config.json');
  const text = JSON.stringify({ authFile });
  await writeFile(config, text);
  const command: Setup['command'] = async (words, input = '') => {
    const [stdout, stderr] = [new Written(), new Written()];
    const streams = { stdin: Readable.from([Buffer.from(input)]), stdout, stderr };
    const failure = await runAccessCommand(
      words.split(' '),
      () => Promise.resolve(readConfig(text, folder, {}, 'test')),
      streams,
    ).catch((error: unknown) => messageOf(error));
    return { code: failure === undefined ? 0 : 1, stdout: stdout.text, stderr: stderr.text + (failure ?? '') };
  };
  return { authFile, config, command, entries: async () => parseEntries(await readFile(authFile, 'utf8')) };
}

t.test('token add prints the token alone on standard output, and the file keeps its hash alone', async (t) => {
  const { command, entries, authFile, config } = await setup(t);
  const added = await start(['token', 'add', 'ci', '--config', config]);
  t.match(added, { code: 0, stdout: /^image-service_\S+\n$/, stderr: /Token ci with the scope read.*only time/ });
  const parts = parseToken(added.stdout.trim());
  const [entry] = await entries();
  t.match(entry, { name: 'ci', kind: 'token', scope: 'read', id: parts?.id });
  t.equal(entry && (await isSecretOf(entry, parts?.secret ?? '', systemScrypt)), true);
  t.notMatch(await readFile(authFile, 'utf8'), parts?.secret ?? 'no secret');
  t.notMatch(added.stderr, parts?.secret ?? 'no secret');
  t.equal((await stat(authFile)).mode & 0o777, 0o600);
  t.match(await command('token add ci'), { code: 1, stdout: '', stderr: /There is a token with the name ci already/ });
  t.equal((await entries()).length, 1);
});

t.test('token list shows names and scopes, and token remove removes', async (t) => {
  const { command, entries } = await setup(t);
  t.match(await command('token list'), { code: 0, stdout: '', stderr: '' });
  await command('token add ci --scope read');
  await command('token add deployment --scope=write');
  await command('password set anna', 'correct horse');
  const listed = await command('token list');
  t.match(listed, { code: 0, stdout: /^ci {10}read {3}20\S+Z\ndeployment {2}write {2}20\S+Z\n$/ });
  for (const { salt, hash, id } of await entries()) {
    for (const secret of [salt, hash, id]) t.notOk(secret !== '' && listed.stdout.includes(secret));
  }
  t.match(await command('token remove ci'), { code: 0, stdout: '', stderr: '' });
  t.match(await command('token remove ci'), { code: 1, stderr: /There is no token with the name "ci"/ });
  t.match(await command('token remove anna'), { code: 1, stderr: /There is no token with the name "anna"/ });
  t.same(
    (await entries()).map(({ name }) => name),
    ['deployment', 'anna'],
  );
  await command('password remove anna');
  t.match(await command('password list'), { code: 0, stdout: '' });
});

t.test('password set takes the password from standard input, and sets it anew', async (t) => {
  const { command, entries } = await setup(t);
  const opens = async (password: string) => {
    const [entry] = await entries();
    return entry !== undefined && isSecretOf(entry, password, systemScrypt);
  };
  t.match(await command('password set anna --scope write', 'correct horse\n'), { code: 0, stdout: '', stderr: '' });
  t.match(await entries(), [{ name: 'anna', kind: 'password', scope: 'write' }]);
  t.equal(await opens('correct horse'), true, 'without the line feed');
  t.match(await command('password set anna', 'battery staple'), { code: 0 });
  t.match(await entries(), [{ name: 'anna', kind: 'password', scope: 'write' }]);
  t.equal((await entries()).length, 1);
  t.same([await opens('correct horse'), await opens('battery staple')], [false, true]);
  for (const refused of ['', '\n', 'short', 'a'.repeat(1025), 'two lines\nof it']) {
    const answer = await command('password set anna', refused);
    t.match(answer, { code: 1, stderr: /8 to 1024 characters/ }, JSON.stringify(refused));
    if (refused.length > 1) t.notOk(answer.stderr.includes(refused));
  }
  t.match(await command('token add anna'), { code: 1, stderr: /There is a password with the name anna already/ });
  t.equal(await opens('battery staple'), true);
});

t.test('on a terminal the password is asked for and not shown', async (t) => {
  if (!(await needTools(t, 'python3'))) return;
  const { config, entries } = await setup(t);
  const script = `
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], sys.argv[1:])
shown = b''
while b'Password: ' not in shown:
    shown += os.read(terminal, 1000)
os.write(terminal, b'correct horsf\\x7fe\\r')
try:
    while True:
        chunk = os.read(terminal, 1000)
        if not chunk: break
        shown += chunk
except OSError:
    pass
sys.stdout.write(shown.decode())
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
`;
  const args = ['-c', script, process.execPath, mainFile, 'password', 'set', 'anna', '--config', config];
  const { code, stdout } = await run('python3', args, { env: environment });
  t.match({ code, stdout: stdout.replaceAll('\r', '') }, { code: 0, stdout: /^Password: \n$/ });
  const [entry] = await entries();
  t.equal(entry && (await isSecretOf(entry, 'correct horse', systemScrypt)), true);
});

t.test('without authFile the commands say where to set it', async (t) => {
  const folder = await temporaryFolder(t);
  const config = join(folder, 'config.json');
  await writeFile(config, '{}');
  for (const words of ['token add ci', 'password set anna']) {
    const answer = await start([...words.split(' '), '--config', config]);
    t.match(answer, { code: 1, stdout: '', stderr: /authFile is not set: .*IMAGE_SERVICE_AUTH_FILE/ }, words);
  }
  const authFile = join(folder, 'auth.json');
  const env = { IMAGE_SERVICE_CONFIG: config, IMAGE_SERVICE_AUTH_FILE: authFile };
  t.match(await start(['token', 'add', 'ci'], env), { code: 0 });
  t.match(await start(['--config', config, 'token', 'list'], env), { code: 0, stdout: /^ci / });
  t.match(await start(['token', 'list', '--config', join(folder, 'none.json')], env), {
    code: 1,
    stderr: /none\.json/,
  });
  const printed = await start(['--print-config'], env);
  t.match(JSON.parse(printed.stdout), { authFile }, 'and the configuration that is printed has the path alone');
});

t.test('a command that makes no sense is refused, and changes nothing', async (t) => {
  const { command, authFile } = await setup(t);
  const cases: [words: string, says: RegExp][] = [
    ['token', /There is no command "token"; --help shows the commands/],
    ['token make ci', /There is no command "token make"/],
    ['password add anna', /There is no command "password add"/],
    ['token add', /"token add" takes one name/],
    ['token add a b', /"token add" takes one name/],
    ['token list a', /"token list" takes no name/],
    ['token add a:b', /The name "a:b" is not allowed/],
    ['token add ci --scope admin', /--scope must be one of read, write/],
    ['token remove ci --scope read', /"token remove" takes no --scope/],
    ['token add ci --print-config', /--print-config/],
  ];
  for (const [words, says] of cases) t.match(await command(words), { code: 1, stdout: '', stderr: says }, words);
  await t.rejects(stat(authFile), { code: 'ENOENT' });
  t.match(await start(['--scope', 'read']), { code: 1, stdout: '', stderr: /--scope/ }, 'without a command');
  const { stdout } = await start(['--help']);
  for (const words of ['token add NAME', 'token list', 'token remove', 'password set NAME']) t.match(stdout, words);
});

t.test('options of the service are no commands', (t) => {
  const cases: [words: string, isCommand: boolean][] = [
    ['', false],
    ['--print-config', false],
    ['--config token', false],
    ['extra', false],
    ['extra token', false],
    ['token', true],
    ['password set anna', true],
    ['--config=x token add ci', true],
    ['--config x --scope read token add ci', true],
    ['--nonsense token list', true],
  ];
  for (const [words, isCommand] of cases) t.equal(isAccessCommand(words.split(' ')), isCommand, words);
  t.end();
});

t.test('a broken file is left as it is', async (t) => {
  const { command, authFile } = await setup(t);
  await writeFile(authFile, '{"entries": [');
  for (const words of ['token add ci', 'token list', 'token remove ci']) {
    t.match(await command(words), { code: 1, stdout: '', stderr: /authFile ".*": it is not JSON/ }, words);
  }
  t.equal(await readFile(authFile, 'utf8'), '{"entries": [');
});

const asRoot = { skip: process.getuid?.() === 0 ? false : 'only root can become somebody else' };

t.test('what root adds belongs to the owner of the folder, whose links lead root nowhere', asRoot, async (t) => {
  const outer = await temporaryFolder(t);
  const folder = join(outer, 'state');
  await mkdir(folder);
  await chmod(outer, 0o755);
  await chown(folder, 12345, 12346);
  const authFile = join(folder, 'auth.json');
  const victim = join(outer, 'victim');
  await writeFile(victim, 'secret', { mode: 0o600 });
  const add = (name: string) => start(['token', 'add', name], { IMAGE_SERVICE_AUTH_FILE: authFile });
  t.equal((await add('one')).code, 0);
  t.match(await stat(authFile), { uid: 12345, gid: 12346 });
  await symlink(victim, `${authFile}.tmp`);
  t.equal((await add('two')).code, 1);
  t.equal(await readFile(victim, 'utf8'), 'secret');
  t.match(await stat(victim), { uid: 0 });
});

t.test('--help of a command shows the commands', async (t) => {
  const { code, stdout } = await start(['token', 'add', '--help']);
  t.equal(code, 0);
  t.match(stdout, 'token add NAME');
});
