import { cp, mkdir, readFile, readdir, readlink, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import t, { type Test } from 'tap';
import { isInstalled } from '../fixtures/installed.js';
import { needTools } from '../fixtures/iso-tools.js';
import { makePackages, must, projectFolder } from '../fixtures/packages.js';
import { run } from '../fixtures/process.js';
import { temporaryFolder } from '../fixtures/service.js';

const placed = [
  'etc/image-service/config.json',
  'etc/logrotate.d/image-service',
  'etc/systemd/system/multi-user.target.wants/image-service.service',
  'usr/bin/image-service',
  'usr/lib/image-service/dist/lib/main.js',
  'usr/lib/image-service/sbom.cdx.json',
  'usr/lib/image-service/systemd/uninstall',
  'usr/lib/systemd/system/image-service.service',
  'usr/lib/sysusers.d/image-service.conf',
];

/** The paths of files and links below a folder, but for those of the packages that the service consists of. */
async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => !entry.isDirectory());
  return files.map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1)).sort();
}

/** Whether all of the files are there, links as such. */
async function missing(root: string): Promise<string[]> {
  const files = await filesOf(root);
  return placed.filter((path) => !files.includes(path));
}

/** Runs the installed program, with the root's own libraries and none of this project's. */
function program(root: string, ...args: string[]) {
  return run(process.execPath, [join(root, 'usr/lib/image-service/dist/lib/main.js'), ...args], { cwd: '/' });
}

/** Runs a script of the clone or release at `top` for the root of another system. */
function script(top: string, root: string, name: string, ...args: string[]): Promise<string> {
  return must(join(top, 'systemd', name), args, { DESTDIR: root });
}

async function checkInstalled(t: Test, root: string): Promise<void> {
  t.same(await missing(root), []);
  t.equal(
    await readlink(join(root, 'etc/systemd/system/multi-user.target.wants/image-service.service')),
    '/usr/lib/systemd/system/image-service.service',
  );
  const config = join(root, 'etc/image-service/config.json');
  const { code, stdout, stderr } = await program(root, '--config', config, '--print-config');
  t.equal(code, 0, stderr);
  t.match(JSON.parse(stdout), { isoDir: '/var/lib/image-service/static/iso' });
  t.notOk(await isInstalled(join(root, 'usr/lib/image-service/node_modules/typescript/package.json')));
}

async function installAgain(t: Test, top: string, root: string): Promise<void> {
  const config = join(root, 'etc/image-service/config.json');
  const first = await filesOf(root);
  await writeFile(config, '{"minLogLevel": 2}');
  await writeFile(join(root, 'usr/lib/image-service/stale.js'), '');
  await must('rm', [join(root, 'etc/systemd/system/multi-user.target.wants/image-service.service')]);
  await script(top, root, 'install');
  t.equal(await readFile(config, 'utf8'), '{"minLogLevel": 2}', 'what is configured stays');
  t.same(
    await filesOf(root),
    first.filter((path) => !path.includes('.wants/')),
    'nothing is left of the older one, and who has disabled it is obeyed',
  );
}

async function remove(t: Test, top: string, root: string): Promise<void> {
  await mkdir(join(root, 'var/lib/image-service'), { recursive: true });
  await writeFile(join(root, 'var/lib/image-service/inventory.json'), '');
  await script(top, root, 'uninstall');
  const kept = ['etc/image-service/config.json', 'var/lib/image-service/inventory.json'];
  t.same(await filesOf(root), kept);
  await script(top, root, 'uninstall');
  t.same(await filesOf(root), kept);
  await script(top, root, 'install');
  t.same(await missing(root), []);
  for (let time = 0; time < 2; time++) {
    await script(top, root, 'uninstall', '--purge');
    t.same(await filesOf(root), []);
  }
}

t.test('from the packages', { timeout: 300_000 }, async (t) => {
  if (!(await needTools(t, 'npm', 'dpkg-deb'))) return;
  const folder = await temporaryFolder(t);
  const { deb, tarball } = await makePackages(folder);

  t.test('an unpacked release installs into the root of an image, again, and is taken away', async (t) => {
    await must('tar', ['-xzf', tarball, '-C', folder]);
    const top = join(folder, basename(tarball, '.tar.gz'));
    const root = join(await temporaryFolder(t), 'root');
    await script(top, root, 'install');
    await checkInstalled(t, root);
    await installAgain(t, top, root);
    await remove(t, top, root);
  });

  t.test('what dpkg has installed is left to dpkg', async (t) => {
    const root = join(await temporaryFolder(t), 'root');
    await mkdir(join(root, 'var/lib/dpkg/info'), { recursive: true });
    // What a removed package leaves is a list; its scripts are there while it is installed.
    const present = ['image-service.list', 'image-service.prerm'].map((name) => join('var/lib/dpkg/info', name));
    for (const path of present) await writeFile(join(root, path), '');
    await must('tar', ['-xzf', tarball, '-C', folder]);
    for (const name of ['install', 'uninstall']) {
      const env = { ...process.env, DESTDIR: root };
      const { code, stderr } = await run(join(folder, basename(tarball, '.tar.gz'), 'systemd', name), [], { env });
      t.equal(code, 1);
      t.match(stderr, `${name}: it is installed as a package`);
    }
    t.same(await filesOf(root), present);
  });

  t.test('the .deb has all of it, owned by root, and what dpkg must know', async (t) => {
    const list = await must('dpkg-deb', ['--contents', deb]);
    const paths = placed.filter((path) => !/\.wants|uninstall/.test(path));
    for (const path of paths) t.match(list, ` ./${path}`);
    t.same(
      list.split('\n').filter((line) => line !== '' && !/^[-dl]r[w-][xs-]r-[x-]r-[x-] root\/root |^l/.test(line)),
      [],
      'others may read and not write',
    );
    t.match(await must('dpkg-deb', ['--field', deb, 'Depends']), /nodejs \(>= 20\.10\).*systemd/);
    const { version } = JSON.parse(await readFile(join(projectFolder, 'package.json'), 'utf8')) as { version: string };
    t.equal((await must('dpkg-deb', ['--field', deb, 'Version'])).trim(), version.replace('-', '~'));
    t.match(await must('dpkg-deb', ['--info', deb, 'conffiles']), '/etc/image-service/config.json');
  });

  t.test('the list of what it consists of names the packages that are in it', async (t) => {
    const root = join(folder, 'unpacked');
    await must('dpkg-deb', ['--extract', deb, root]);
    const lib = join(root, 'usr/lib/image-service');
    const { bomFormat, components } = JSON.parse(await readFile(join(lib, 'sbom.cdx.json'), 'utf8')) as {
      bomFormat: string;
      components: { name: string; version: string }[];
    };
    t.equal(bomFormat, 'CycloneDX');
    const manifests = (await filesOf(join(lib, 'node_modules'))).filter((path) =>
      /^(@[^/]+\/)?[^/]+\/package\.json$/.test(path),
    );
    const inside = await Promise.all(
      manifests.map(async (path) => {
        const text = await readFile(join(lib, 'node_modules', path), 'utf8');
        const { name, version } = JSON.parse(text) as { name: string; version: string };
        return `${name}@${version}`;
      }),
    );
    t.ok(inside.length > 3);
    t.same(inside.sort(), components.map(({ name, version }) => `${name}@${version}`).sort());
  });

  t.test('made again, the packages have the same bytes', async (t) => {
    const again = await makePackages(await temporaryFolder(t));
    t.ok((await readFile(again.deb)).equals(await readFile(deb)), 'the .deb');
    t.ok((await readFile(again.tarball)).equals(await readFile(tarball)), 'the tarball');
  });
});

t.test('a clone builds what it installs', { timeout: 500_000 }, async (t) => {
  if (!(await needTools(t, 'npm'))) return;
  const clone = join(await temporaryFolder(t), 'clone');
  const left = ['.git', 'node_modules', 'coverage', '.tap', 'packages', 'static', 'mounts'];
  await cp(projectFolder, clone, {
    recursive: true,
    filter: (path) => !left.some((name) => path === join(projectFolder, name)) && !path.includes('inventory.json'),
  });
  const root = join(await temporaryFolder(t), 'root');
  await script(clone, root, 'install');
  await checkInstalled(t, root);
  t.ok(await isInstalled(join(clone, 'node_modules/typescript/package.json')), 'what builds stays in the clone');
});
