import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { ask, json } from '../fixtures/client.js';
import { genisoimage, needTools, xorrisofs } from '../fixtures/iso-tools.js';
import { type TestService, startTestService } from '../fixtures/service.js';
import { esxiBootConfig, layouts } from '../fixtures/systems.js';

/** A system whose disc is laid out as the real one is, and what its machines ask for (RackHD, firmware, the installer). */
interface System {
  readonly place: string;
  readonly files: readonly string[];
  readonly texts?: Readonly<Record<string, string | Buffer>>;
  /** Makes the disc as its maker does: names, file systems. */
  readonly make: (iso: string, folder: string) => Promise<void>;
  /** Below the image. */
  readonly requests: readonly string[];
  readonly family: string;
}

const hex = '0123456789abcdef'.repeat(4);

const systems: readonly System[] = [
  {
    place: 'ESXi/6.7',
    family: 'esxi',
    // Without Rock Ridge and Joliet: names in upper case.
    make: (iso, folder) => genisoimage(iso, folder, '-iso-level', '2', '-V', 'ESXI-6.7.0-8169922-STANDARD'),
    texts: { 'boot.cfg': esxiBootConfig },
    files: ['mboot.c32', 'b.b00', 'jumpstrt.gz', 'useropts.gz', 'k.b00', 'efi/boot/bootx64.efi', 'efi/boot/boot.cfg'],
    requests: ['boot.cfg', 'mboot.c32', 'efi/boot/bootx64.efi', 'b.b00', 'jumpstrt.gz', 'useropts.gz', 'k.b00'],
  },
  {
    place: 'RHEL/8',
    family: 'redhat',
    make: (iso, folder) => xorrisofs(iso, folder, '-R', '-J', '-V', 'RHEL-8-0-0-BaseOS-x86_64'),
    texts: { '.treeinfo': String(layouts['RHEL 8']?.files['.treeinfo']) },
    files: [
      ...['images/pxeboot/vmlinuz', 'images/pxeboot/initrd.img', 'LiveOS/squashfs.img', 'repodata/repomd.xml'],
      ...[`repodata/${hex}-primary.xml.gz`, 'Packages/bash-4.4.19-8.el8_0.x86_64.rpm'],
    ],
    requests: [
      ...['images/pxeboot/vmlinuz', 'images/pxeboot/initrd.img', '.treeinfo', 'LiveOS/squashfs.img'],
      ...['repodata/repomd.xml', `repodata/${hex}-primary.xml.gz`, 'Packages/bash-4.4.19-8.el8_0.x86_64.rpm'],
    ],
  },
  {
    place: 'SLES/12',
    family: 'suse',
    make: (iso, folder) => xorrisofs(iso, folder, '-R', '-V', 'SLE-12-SP3-Server-DVD-x86_64'),
    texts: { content: 'DISTRO cpe:/o:suse:sles:12:sp3,SUSE Linux Enterprise Server 12 SP3\n' },
    files: [
      'boot/x86_64/loader/linux',
      'boot/x86_64/loader/initrd',
      'media.1/media',
      'suse/x86_64/a.rpm',
      'boot/x86_64/root',
    ],
    requests: [
      ...['boot/x86_64/loader/linux', 'boot/x86_64/loader/initrd', 'content', 'media.1/media', 'boot/x86_64/root'],
      'suse/x86_64/a.rpm',
    ],
  },
  {
    place: 'winpe/10',
    family: 'windows',
    make: (iso, folder) => genisoimage(iso, folder, '-udf', '-J', '-V', 'CCCOMA_X64FRE'),
    texts: { 'sources/idwbinfo.txt': '[BUILDINFO]\r\nBuildArch=amd64\r\n' },
    files: ['bootmgr', 'bootmgr.efi', 'boot/bcd', 'boot/boot.sdi', 'boot/fonts/wgl4_boot.ttf', 'sources/boot.wim'],
    requests: ['bootmgr', 'Boot/BCD', 'Boot/Fonts/wgl4_boot.ttf', 'Boot/boot.sdi', 'sources/boot.wim', 'bootmgr.efi'],
  },
];

async function addSystem(t: Test, service: TestService, system: System): Promise<Record<string, unknown>> {
  const root = t.testdir({});
  const contents = { ...Object.fromEntries(system.files.map((path) => [path, `content of ${path}`])), ...system.texts };
  for (const [path, content] of Object.entries(contents)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), content);
  }
  const [name = '', version = ''] = system.place.split('/');
  await system.make(join(service.folder, `static/iso/${name}.iso`), root);
  const path = `/images?name=${name}&version=${version}&isostore=${name}.iso`;
  const answer = await ask(service.north, path, { method: 'PUT', headers: { prefer: 'wait=20' } });
  t.equal(answer.status, 201, answer.text);
  return json(answer) as Record<string, unknown>;
}

/** A request as machines write it: as it is, in each letter case, with slashes too many. */
function spellings(place: string, path: string): string[] {
  const whole = `/${place}/${path}`;
  return [whole, whole.toLowerCase(), whole.toUpperCase(), `/${place}//${path}`, `/${whole}`, `/${place}/./${path}`];
}

for (const system of systems) {
  t.test(`machines find all that they ask for on a disc of ${system.place}, however they write it`, async (t) => {
    if (!(await needTools(t, 'genisoimage', 'xorriso'))) return;
    const service = await startTestService(t);
    const record = await addSystem(t, service, system);
    t.match(record, { os: { family: system.family, certainty: 'exact' } });
    t.notHas(record['os'], 'problems');
    for (const path of system.requests) {
      const wanted = system.texts?.[path] ?? `content of ${path.toLowerCase()}`;
      for (const url of spellings(system.place, path)) {
        const answer = await ask(service.south, url);
        t.equal(answer.status, 200, url);
        t.equal(answer.text.toLowerCase(), String(wanted).toLowerCase(), url);
        const head = await ask(service.south, url, { method: 'HEAD' });
        t.match([head.status, head.headers['content-length']], [200, String(answer.body.length)], `HEAD ${url}`);
      }
    }
    const { id } = record as { id: string };
    t.match(json(await ask(service.north, `/images/${id}/check`)), { isComplete: true });
    const script = await ask(service.south, `/boot.ipxe?image=${system.place}`);
    const urls = (script.text.match(/http:\/\/\S+/g) ?? []).filter((url) => url.startsWith(service.south));
    // What the store of microkernels lacks is not of the disc.
    for (const url of urls.filter((one) => !one.includes('/common/') && !one.endsWith(system.place))) {
      t.equal((await ask(url, '')).status, 200, url);
    }
  });
}

t.test('names that Joliet has cut are found before a machine misses them', async (t) => {
  if (!(await needTools(t, 'genisoimage'))) return;
  const service = await startTestService(t);
  const primary = `${hex}-primary.xml.gz`;
  const record = await addSystem(t, service, {
    place: 'centos/7',
    family: 'redhat',
    make: (iso, folder) => genisoimage(iso, folder, '-J', '-V', 'CentOS'),
    texts: { 'repodata/repomd.xml': `<repomd><data><location href="repodata/${primary}"/></data></repomd>` },
    files: [`repodata/${primary}`],
    requests: [],
  });
  t.equal(record['view'], 'joliet');
  const { findings } = json(await ask(service.north, `/images/${String(record['id'])}/check`)) as {
    findings: unknown[];
  };
  t.match(findings, [
    { kind: 'cut', path: /^repodata\/[0-9a-f]{60,64}/ },
    { kind: 'missing', path: `repodata/${primary}`, namedBy: 'repodata/repomd.xml' },
  ]);
});
