import { randomBytes } from 'node:crypto';
import { mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { smallIso } from '../fixtures/small-iso.js';
import { startProcess } from '../fixtures/process.js';
import { curl, fileOf, needs, sha256, tool, plant } from '../fixtures/e2e-tools.js';
import { genisoimage, xorrisofs } from '../fixtures/iso-tools.js';
import { temporaryFolder } from '../fixtures/service.js';

const withCurl = await needs('curl');
const withTools = await needs('curl', 'wget', 'xorriso', 'genisoimage');

/** curl -O of a URL: its bytes as they are. */
async function fetched(folder: string, url: string, ...options: readonly string[]): Promise<Buffer> {
  const file = join(folder, 'fetched');
  const { code, stderr } = await tool('curl', ['-fsS', ...options, '-o', file, url]);
  if (code !== 0) throw new Error(stderr);
  return readFile(file);
}

async function statusOf(url: string): Promise<number> {
  return (await curl(['-o', '/dev/null', url])).status;
}

function parsed({ text }: { readonly text: string }): unknown {
  return JSON.parse(text);
}

t.test('an ISO is uploaded, becomes an image, is read, and goes', withCurl, async (t) => {
  const folder = await temporaryFolder(t);
  const { north, south } = await startProcess(t, folder);
  const kernel = randomBytes(700_000);
  const iso = smallIso({ vmlinuz: kernel, '.treeinfo': '[general]\n', 'a b.txt': 'text' });
  const file = await fileOf(folder, 'centos.iso', iso);

  t.match(await curl(['-T', file, `${north}/iso?name=centos-7.iso`]), { status: 200, text: /Upload finished!\n$/ });
  t.match(parsed(await curl([`${north}/iso`])), [
    { name: 'centos-7.iso', size: '909.31 KB', bytes: iso.length, upload: /^20\d\d-.*Z$/, uploaded: /^20\d\d-.*Z$/ },
  ]);
  const added = await curl(['-X', 'PUT', `${north}/images?name=centos&version=7&isostore=centos-7.iso`]);
  t.equal(added.status, 202);
  t.match(parsed(added), {
    id: /^[0-9a-f-]{36}$/,
    name: 'centos',
    version: '7',
    iso: 'centos-7.iso',
    status: 'preparing',
  });
  t.ok((await fetched(folder, `${south}/centos/7/vmlinuz`)).equals(kernel), 'it can be asked for at once');
  t.match(parsed(await curl([`${north}/images`])), [{ name: 'centos', version: '7', status: 'OK', bytes: iso.length }]);
  const { id } = parsed(added) as { id: string };
  t.match(parsed(await curl([`${north}/images/${id}`])), { id, status: 'OK' });
  t.match(parsed(await curl([`${north}/images?name=centos&status=OK`])), [{ id }]);
  t.same(parsed(await curl([`${north}/images?name=none`])), []);

  t.ok(
    (await fetched(folder, `${south}/centos/7/vmlinuz`, '-r', '1000-300000')).equals(kernel.subarray(1000, 300_001)),
  );
  t.ok((await fetched(folder, `${south}/centos/7/vmlinuz`, '-r', '-100')).equals(kernel.subarray(-100)));
  t.ok((await fetched(folder, `${south}/iso/centos-7.iso`)).equals(iso));
  t.match((await curl(['-I', `${south}/centos/7/vmlinuz`])).text, /Content-Length: 700000\r?\n/);
  const listing = parsed(await curl(['-H', 'Accept: application/json', `${south}/centos/7/`]));
  t.same(
    (listing as { name: string }[]).map(({ name }) => name),
    ['.treeinfo', 'a b.txt', 'vmlinuz'],
  );
  t.match((await curl(['-H', 'Accept: text/html', `${south}/centos/7/`])).text, /<a href="\.\/a%20b\.txt">/);
  t.equal((await curl([`${south}/centos/7/a%20b.txt`])).text, 'text');
  t.match((await curl([`${south}/?format=text`])).text, /^centos\/\ncommon\/\niso\/\n/);

  t.equal((await curl(['-X', 'DELETE', `${north}/iso?name=centos-7.iso`])).status, 409, 'the image needs it');
  const readmeDelete = ['-X', 'DELETE', '-H', 'Content-Type: application/json', '-d', ''];
  t.match(parsed(await curl([...readmeDelete, `${north}/images?name=centos&version=7`])), { id, name: 'centos' });
  t.equal(await statusOf(`${south}/centos/7/vmlinuz`), 404);
  t.equal(await statusOf(`${south}/centos/`), 404);
  t.same(parsed(await curl([`${north}/images`])), []);
  t.match(parsed(await curl(['-X', 'DELETE', `${north}/iso?name=centos-7.iso`])), { name: 'centos-7.iso' });
  t.same(parsed(await curl([`${north}/iso`])), []);
});

t.test('a microkernel is uploaded, fetched and deleted', withCurl, async (t) => {
  const folder = await temporaryFolder(t);
  const { north, south } = await startProcess(t, folder);
  const bytes = randomBytes(61_110);
  const file = await fileOf(folder, 'k', bytes);
  const name = 'vmlinuz-3.16.0-25-generic';
  t.match(await curl(['-T', file, `${north}/microkernel?name=${name}`]), { status: 200, text: /Upload finished!\n$/ });
  t.match(parsed(await curl([`${north}/microkernel`])), [{ name, size: '61.11 KB', uploaded: /Z$/, bytes: 61_110 }]);
  t.ok((await fetched(folder, `${south}/common/${name}`)).equals(bytes));
  t.match(parsed(await curl(['-X', 'DELETE', `${north}/microkernel?name=${name}`])), { name });
  t.equal(await statusOf(`${south}/common/${name}`), 404);
});

t.test('an image comes from each of the four sources', withCurl, async (t) => {
  const folder = await temporaryFolder(t);
  await mkdir(join(folder, 'other'));
  const { north, south } = await startProcess(t, folder);
  const file = await fileOf(folder, 'local.iso', smallIso({ kernel: 'Linux' }));
  const wait = ['-X', 'PUT', '-H', 'Prefer: wait=10'];

  const local = await curl([...wait, `${north}/images?name=ubuntu&version=1&isolocal=${file}`]);
  t.equal(local.status, 201, 'Prefer: wait answers when it is OK');
  t.match(parsed(local), { name: 'ubuntu', version: '1', iso: file, status: 'OK' });
  t.match(parsed(await curl([`${north}/iso`])), [{ name: 'local.iso' }], 'it is in the store, without a copy');

  const client = await curl(['-T', file, `${north}/images?name=ubuntu&version=2&isoclient=client.iso`]);
  t.match(client, { status: 200, text: /Upload finished!\n$/ });

  const store = await curl([...wait, `${north}/images?name=ubuntu&version=3&isostore=client.iso`]);
  t.match(parsed(store), { status: 'OK', iso: 'client.iso' });

  const copy = await fileOf(folder, 'static/iso/web.iso', await readFile(file));
  t.ok(copy, 'a file that an operator puts into the store by hand');
  const other = await startProcess(t, join(folder, 'other'));
  const web = await curl([...wait, `${other.north}/images?name=ubuntu&version=4&isoweb=${south}/iso/web.iso`]);
  t.equal(web.status, 201);
  t.match(parsed(web), { status: 'OK', iso: 'web.iso', source: { kind: 'isoweb', value: `${south}/iso/web.iso` } });

  const first = `${north}/images?name=ubuntu&version=5&isoweb=http://127.0.0.1:9/x.iso&isolocal=${file}&isostore=web.iso`;
  t.match(
    parsed(await curl([...wait, first])),
    { iso: 'web.iso', status: 'OK' },
    'the first of several sources counts',
  );

  for (const version of ['1', '2', '3', '5']) {
    t.equal((await curl([`${south}/ubuntu/${version}/kernel`])).text, 'Linux', version);
  }
  t.equal((await curl([`${other.south}/ubuntu/4/kernel`])).text, 'Linux');
});

t.test('a download that fails says so: failed, with the reason', withCurl, async (t) => {
  const { north, south } = await startProcess(t, await temporaryFolder(t));
  const put = ['-X', 'PUT', '-H', 'Prefer: wait=10', `${north}/images?name=a&version=1&isoweb=${south}/iso/none.iso`];
  const answer = await curl(put);
  t.equal(answer.status, 202);
  t.match(parsed(answer), { status: 'failed', error: /404 Not Found/ });
  t.equal(await statusOf(`${south}/a/1/kernel`), 404);
  t.match(parsed(await curl([`${north}/images?status=failed`])), [{ name: 'a' }]);
});

t.test('RackHD installs Ubuntu: its URLs lead to the files, over the link ubuntu -> .', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const { north, south } = await startProcess(t, folder);
  const squashfs = randomBytes(300_000);
  await plant(join(folder, 'disc'), {
    '.disk/info': 'Ubuntu-Server 14.04.5 LTS "Trusty Tahr" - Release amd64',
    'install/filesystem.squashfs': squashfs,
    'install/netboot/ubuntu-installer/amd64/linux': 'linux',
    'install/netboot/ubuntu-installer/amd64/initrd.gz': 'initrd',
    'dists/trusty/Release': 'Suite: trusty\n',
    'dists/trusty/main/binary-amd64/Packages.gz': 'packages',
    'pool/main/b/base-files/base-files_7.2+ubuntu1_amd64.deb': 'deb',
  });
  await symlink('.', join(folder, 'disc/ubuntu'));
  await symlink('trusty', join(folder, 'disc/dists/stable'));
  const iso = join(folder, 'ubuntu.iso');
  await xorrisofs(iso, join(folder, 'disc'), '-r', '-J', '-V', 'Ubuntu-Server 14.04.5');
  await curl(['-T', iso, `${north}/images?name=ubuntu&version=14.04&isoclient=ubuntu.iso`]);
  const repository = `${south}/ubuntu/14.04`;
  for (const [path, text] of [
    ['/install/netboot/ubuntu-installer/amd64/linux', 'linux'],
    ['/install/netboot/ubuntu-installer/amd64/initrd.gz', 'initrd'],
    ['/dists/trusty/Release', 'Suite: trusty\n'],
    ['/dists/stable/Release', 'Suite: trusty\n'],
    ['/dists/trusty/main/binary-amd64/Packages.gz', 'packages'],
    ['/pool/main/b/base-files/base-files_7.2+ubuntu1_amd64.deb', 'deb'],
    ['/ubuntu/dists/trusty/Release', 'Suite: trusty\n'],
    ['/ubuntu/ubuntu/ubuntu/dists/stable/Release', 'Suite: trusty\n'],
    ['/.disk/info', 'Ubuntu-Server 14.04.5 LTS "Trusty Tahr" - Release amd64'],
  ] as const) {
    t.match(await curl([repository + path]), { status: 200, text }, path);
  }
  const size = await fetched(folder, `${repository}/ubuntu/install/filesystem.squashfs`);
  t.equal(sha256(size), sha256(squashfs), 'live-installer/net-image');
  const wget = await tool('wget', ['-q', '-O', '-', `${repository}/dists/trusty/Release`]);
  t.match(wget, { code: 0, stdout: 'Suite: trusty\n' }, 'choose-mirror');
});

t.test('RackHD installs ESXi from a disc with plain upper-case names', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const { north, south } = await startProcess(t, folder);
  await plant(join(folder, 'disc'), {
    'BOOT.CFG': 'kernel=/b.b00\nmodules=/jumpstrt.gz --- /s.v00\n',
    'MBOOT.C32': 'mboot',
    'B.B00': 'kernel',
    'S.V00': 'module',
    'EFI/BOOT/BOOTX64.EFI': 'efi',
    'UPGRADE/METADATA.XML': '<esxVersion>6.0.0</esxVersion>',
  });
  const iso = join(folder, 'esxi.iso');
  await genisoimage(iso, join(folder, 'disc'), '-iso-level', '1', '-V', 'ESXI-6.0.0');
  await curl(['-T', iso, `${north}/images?name=ESXi&version=6.0&isoclient=esxi.iso`]);
  const paths = ['boot.cfg', 'BOOT.CFG', 'mboot.c32', 'efi/boot/bootx64.efi', 'EFI/BOOT/BOOTX64.EFI', 'b.b00', 'S.V00'];
  for (const path of [...paths, 'Upgrade/Metadata.xml', '/boot.cfg']) {
    for (const repository of ['/ESXi/6.0', '/esxi/6.0', '/ESXI/6.0']) {
      t.equal(await statusOf(`${south}${repository}/${path}`), 200, `${repository}/${path}`);
    }
  }
  t.match((await curl([`${south}/esxi/6.0/boot.cfg`])).text, /^kernel=\/b\.b00\n/);
  t.equal(await statusOf(`${south}/esxi/6.0/boot.cf`), 404);
});

t.test('RackHD installs CentOS: .treeinfo, and repodata names of 64 digits and more', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const { north, south } = await startProcess(t, folder);
  const files = {
    '.treeinfo': '[general]\nfamily = CentOS\n',
    'images/pxeboot/vmlinuz': 'vmlinuz',
    'images/pxeboot/initrd.img': 'initrd',
    'LiveOS/squashfs.img': randomBytes(100_000),
    'repodata/repomd.xml': '<repomd/>',
    [`repodata/${sha256('primary')}-primary.sqlite.bz2`]: 'primary',
    [`repodata/${sha256('filelists')}-filelists.xml.gz`]: 'filelists',
    'Packages/ModemManager-glib-1.6.0-2.el7.x86_64.rpm': randomBytes(5000),
  };
  await plant(join(folder, 'disc'), files);
  const iso = join(folder, 'centos.iso');
  await genisoimage(iso, join(folder, 'disc'), '-R', '-J', '-V', 'CentOS 7 x86_64');
  await curl(['-T', iso, `${north}/images?name=centos&version=7&isoclient=centos.iso`]);
  for (const [path, content] of Object.entries(files)) {
    const bytes = await fetched(folder, `${south}/centos/7/${path}`);
    t.ok(bytes.equals(Buffer.from(content)), path);
  }
});

t.test('SUSE asks for a path with two slashes, and is not redirected', withTools, async (t) => {
  const folder = await temporaryFolder(t);
  const { north, south } = await startProcess(t, folder);
  await plant(join(folder, 'disc'), { 'repo/oss/boot/x86_64/loader/linux': 'linux' });
  const iso = join(folder, 'suse.iso');
  await xorrisofs(iso, join(folder, 'disc'), '-r');
  await curl(['-T', iso, `${north}/images?name=distribution&version=42.1&isoclient=suse.iso`]);
  const answer = await curl([`${south}/distribution/42.1/repo/oss//boot/x86_64/loader/linux`]);
  t.match(answer, { status: 200, text: 'linux' });
});
