import { chmod, copyFile, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readConfig } from '../../lib/config.js';
import { needTools } from '../fixtures/iso-tools.js';
import { nodeOptions, run } from '../fixtures/process.js';
import { projectFolder } from '../fixtures/packages.js';
import { temporaryFolder } from '../fixtures/service.js';

const folder = join(projectFolder, 'systemd');
const unit = join(folder, 'image-service.service');

/** The unit with a drop-in, in a folder of its own. */
async function unitWith(t: Test, dropIn: string): Promise<string> {
  const place = await temporaryFolder(t);
  const copy = join(place, 'image-service.service');
  await mkdir(`${copy}.d`);
  await copyFile(unit, copy);
  await copyFile(join(folder, dropIn), join(`${copy}.d`, dropIn));
  return copy;
}

t.test('the sandbox is on: systemd rates the exposure 1.5 or lower', async (t) => {
  if (!(await needTools(t, 'systemd-analyze'))) return;
  const { code, stdout } = await run('systemd-analyze', ['security', '--offline=true', '--threshold=15', unit]);
  t.equal(code, 0, 'not above the threshold', { output: stdout });
  t.match(stdout.trim().split('\n').at(-1), /Overall exposure level/);
});

t.test('systemd understands all of the unit, and of the drop-in for the loop driver', async (t) => {
  if (!(await needTools(t, 'systemd-analyze'))) return;
  const withLoop = await unitWith(t, 'loop.conf');
  for (const file of [unit, withLoop]) {
    const { stderr } = await run('systemd-analyze', ['verify', '--man=no', file]);
    t.notMatch(stderr, /Unknown|Failed to parse|Invalid|image-service\.service.*:\d+:/, file);
  }
  const { stdout } = await run('systemd-analyze', ['security', '--offline=true', withLoop]);
  t.match(stdout, /✗ .*CAP_SYS_ADMIN/, 'the drop-in is read');
});

t.test('it starts Node with the options that the program is started with', async (t) => {
  t.match(
    await readFile(unit, 'utf8'),
    `\nExecStart=node ${nodeOptions.join(' ')} /usr/lib/image-service/dist/lib/main.js`,
  );
});

t.test('the installed configuration keeps all state where the unit lets it write', async (t) => {
  const text = await readFile(join(folder, 'config.json'), 'utf8');
  const config = readConfig(text, '/usr/lib/image-service', {}, 'config.json');
  const { httpFileServiceRootDir, isoDir, microkernelDir, inventoryFile, mount, logFile } = config;
  for (const path of [httpFileServiceRootDir, isoDir, microkernelDir, inventoryFile, mount.dir]) {
    t.match(path, /^\/var\/lib\/image-service\//);
  }
  t.match(logFile, /^\/var\/log\/image-service\//);
});

t.test('the log rotation is one that logrotate understands', async (t) => {
  if (!(await needTools(t, '/usr/sbin/logrotate'))) return;
  // Here there is no such user, and it is to be read by whoever runs the test.
  const { username } = userInfo();
  const text = await readFile(join(folder, 'image-service.logrotate'), 'utf8');
  const file = join(await temporaryFolder(t), 'image-service');
  await writeFile(file, text.replace('su image-service image-service', `su ${username} ${username}`));
  await chmod(file, 0o644);
  const { stderr } = await run('/usr/sbin/logrotate', ['--debug', file]);
  t.match(stderr, /rotating pattern: \/var\/log\/image-service\/\*\.log +weekly/);
  t.notMatch(stderr, /^error/m);
});

t.test('the scripts are in order', async (t) => {
  if (!(await needTools(t, 'shellcheck'))) return;
  const scripts = ['build-tree', 'place', 'install', 'uninstall', 'package'];
  const maintainer = (await readdir(join(folder, 'debian'))).filter((name) => /^(post|pre)/.test(name));
  t.equal(maintainer.length, 3);
  const files = [...scripts, ...maintainer.map((name) => join('debian', name)), '../test/vm/kernel-vm'];
  const { code, stdout } = await run('shellcheck', files, { cwd: folder });
  t.equal(code, 0, 'shellcheck has nothing to say', { output: stdout });
});
