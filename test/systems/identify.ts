import t from 'tap';
import { readSignatures } from '../../lib/systems/signatures.js';
import type { Boot, OperatingSystem } from '../../lib/systems/system.js';
import { empty, identified, layouts, shipped } from '../fixtures/systems.js';

/** What is said of a system, in one line. */
function osLine({
  family,
  distribution,
  version,
  codename,
  architectures,
  signature,
  certainty,
}: OperatingSystem): string {
  const names = [family, distribution ?? '-', version ?? '-', codename ?? '-', architectures.join('+') || '-'];
  return [...names, signature ?? '-', certainty].join(' | ');
}

/** A way to boot, in one line. */
function bootLine({ kind, kernel, initrd = [], inject = {}, repository }: Boot): string {
  const injected = Object.entries(inject).map(([name, path]) => `${name}=${path}`);
  return [kind === 'linux' ? '' : kind, kernel, ...initrd, ...injected, repository && `(${repository})`]
    .filter((part) => part !== undefined && part !== '')
    .join(' ');
}

const netboot = 'dists/stretch/main/installer-amd64/current/images/netboot/debian-installer/amd64';
const mirror =
  'mirror/country=manual mirror/protocol=http mirror/http/hostname={host} mirror/http/directory={path} mirror/http/proxy=';

/** What each layout is recognized as: the system, its ways to boot, and the workflow of RackHD. */
const expected: Readonly<Record<string, readonly [os: string, boots: readonly string[], graph?: string]>> = {
  'CentOS 7': [
    'redhat | CentOS | 7 | - | x86_64 | redhat | exact',
    ['images/pxeboot/vmlinuz images/pxeboot/initrd.img (inst.repo={tree})'],
    'Graph.InstallCentOS',
  ],
  'CentOS 6': [
    'redhat | CentOS | 6.5 | - | x86_64 | redhat | exact',
    ['images/pxeboot/vmlinuz images/pxeboot/initrd.img (repo={tree})'],
    'Graph.InstallCentOS',
  ],
  'RHEL 8': [
    'redhat | Red Hat Enterprise Linux | 8.0.0 | - | x86_64 | redhat | exact',
    ['images/pxeboot/vmlinuz images/pxeboot/initrd.img (inst.repo={tree})'],
    'Graph.InstallRHEL',
  ],
  'Fedora 40': [
    'redhat | Fedora | 40 | - | aarch64 | redhat | exact',
    ['images/pxeboot/vmlinuz images/pxeboot/initrd.img (inst.repo={tree})'],
    'Graph.InstallCentOS',
  ],
  'CentOS, without .treeinfo': [
    'redhat | centos | 7 | - | x86_64 | redhat-layout | fallback',
    ['images/pxeboot/vmlinuz images/pxeboot/initrd.img (inst.repo={tree})'],
    'Graph.InstallCentOS',
  ],
  'RHEL, by .discinfo': [
    'redhat | RHEL | 7.0 | - | x86_64 | redhat-discinfo | exact',
    ['images/pxeboot/vmlinuz images/pxeboot/initrd.img (inst.repo={tree})'],
    'Graph.InstallRHEL',
  ],
  'Debian netinst': [
    'debian | Debian | 12.5.0 | bookworm | x86_64 | debian | exact',
    ['install.amd/vmlinuz install.amd/initrd.gz'],
  ],
  'Debian mirror': [
    'debian | Debian | 9.4.0 | stretch | x86_64 | debian | exact',
    [`${netboot}/linux ${netboot}/initrd.gz (${mirror})`],
    'Graph.InstallDebian',
  ],
  'Ubuntu Server 14.04': [
    'ubuntu | Ubuntu-Server | 14.04.5 | trusty | x86_64 | ubuntu | exact',
    [
      `install/netboot/ubuntu-installer/amd64/linux install/netboot/ubuntu-installer/amd64/initrd.gz (live-installer/net-image={tree}/install/filesystem.squashfs ${mirror})`,
      'install/vmlinuz install/initrd.gz',
    ],
    'Graph.InstallUbuntu',
  ],
  'Ubuntu Server 22.04': [
    'ubuntu | Ubuntu-Server | 22.04.3 | jammy | x86_64 | ubuntu | exact',
    ['casper/vmlinuz casper/initrd (url={iso})', 'casper/hwe-vmlinuz casper/hwe-initrd (url={iso})'],
  ],
  'Linux Mint': [
    'ubuntu | Linux Mint | 21.3 | virginia | x86_64 | ubuntu-derivative | fallback',
    ['casper/vmlinuz casper/initrd.lz (url={iso})'],
  ],
  'Debian live': [
    'debian | - | - | - | - | debian-live | fallback',
    ['live/vmlinuz-6.1.0-18-amd64 live/initrd.img-6.1.0-18-amd64 (fetch={tree}/live/filesystem.squashfs)'],
  ],
  'SLES 12': [
    'suse | SUSE Linux Enterprise Server | 12 SP3 | - | x86_64 | suse | exact',
    ['boot/x86_64/loader/linux boot/x86_64/loader/initrd (install={tree})'],
    'Graph.InstallSUSE',
  ],
  'openSUSE 13.2': [
    'suse | openSUSE | 13.2 | - | x86_64+i386 | suse | exact',
    [
      'boot/x86_64/loader/linux boot/x86_64/loader/initrd (install={tree})',
      'boot/i386/loader/linux boot/i386/loader/initrd (install={tree})',
    ],
    'Graph.InstallSUSE',
  ],
  'openSUSE Leap 15': [
    'suse | openSUSE-Leap | 15.6 | - | x86_64 | suse-15 | exact',
    ['boot/x86_64/loader/linux boot/x86_64/loader/initrd (install={tree})'],
    'Graph.InstallSUSE',
  ],
  'ESXi 6.7': ['esxi | VMware ESXi | 6.7.0 | - | x86_64 | esxi | exact', ['esxi mboot.c32'], 'Graph.InstallESXi'],
  Photon: [
    'photon | VMware Photon OS | 5.0 | - | x86_64 | photon | exact',
    ['isolinux/vmlinuz isolinux/initrd.img (repo={tree}/RPMS)'],
    'Graph.InstallPhotonOS',
  ],
  'Fedora CoreOS': [
    'coreos | fedora-coreos | 39.20231101.3.0 | - | - | coreos | exact',
    ['images/pxeboot/vmlinuz images/pxeboot/initrd.img (coreos.live.rootfs_url={tree}/images/pxeboot/rootfs.img)'],
  ],
  'CoreOS, a set of files': [
    'coreos | CoreOS Container Linux | 1185.5.0 | - | x86_64 | coreos-bundle | exact',
    ['coreos_production_pxe.vmlinuz coreos_production_pxe_image.cpio.gz'],
    'Graph.InstallCoreOS',
  ],
  'Windows 10': [
    'windows | Windows | - | vb_release | x86_64 | windows | exact',
    ['/common/wimboot bootmgr=bootmgr BCD=boot/bcd boot.sdi=boot/boot.sdi boot.wim=sources/boot.wim'],
  ],
  'Windows PE, a set of files': [
    'windows | Windows PE | 1 | - | x86_64 | windows-pe | exact',
    ['wimboot bootmgr=bootmgr BCD=Boot/BCD boot.sdi=Boot/boot.sdi boot.wim=amd64/media/sources/boot.wim'],
    'Graph.InstallWindowsServer',
  ],
  FreeBSD: ['freebsd | FreeBSD | 14.0-RELEASE | - | - | freebsd | exact', ['iso']],
  Proxmox: [
    'proxmox | Proxmox PVE | 8.1 | - | x86_64 | proxmox | exact',
    ['boot/linux26 boot/initrd.img proxmox.iso={iso}'],
  ],
  Alpine: [
    'alpine | Alpine Linux | 3.19.1 | - | x86_64 | alpine | exact',
    ['boot/vmlinuz-lts boot/initramfs-lts (alpine_repo={tree}/apks modloop={tree}/boot/modloop-lts)'],
  ],
  Arch: [
    'arch | Arch Linux | 2024.02.01 | - | x86_64 | arch | exact',
    ['arch/boot/x86_64/vmlinuz-linux arch/boot/x86_64/initramfs-linux.img (archiso_http_srv={tree}/)'],
  ],
  SystemRescue: [
    'arch | SystemRescue | 11.00 | - | x86_64 | systemrescue | exact',
    ['sysresccd/boot/x86_64/vmlinuz sysresccd/boot/x86_64/sysresccd.img (archiso_http_srv={tree}/)'],
  ],
  XenServer: [
    'xenserver | XenServer | 7.0.0 | - | x86_64 | xenserver | exact',
    ['multiboot boot/xen.gz boot/vmlinuz install.img'],
  ],
  'CentOS LiveCD': [
    'redhat | LiveCD | - | - | - | live-cd | exact',
    ['isolinux/vmlinuz0 isolinux/initrd0.img live.iso={iso}'],
  ],
  'Fedora Live': [
    'redhat | Fedora | 40 | - | - | fedora-live | fallback',
    ['images/pxeboot/vmlinuz images/pxeboot/initrd.img (root=live:{tree}/LiveOS/squashfs.img)'],
  ],
};

t.same(Object.keys(layouts), Object.keys(expected), 'every layout has its expectation');

for (const [system, [os, boots, graph]] of Object.entries(expected)) {
  t.test(`${system} is recognized by its files`, async (t) => {
    const { files = {}, disc } = layouts[system] ?? {};
    const found = await identified(files, disc);
    t.equal(osLine(found.os), os);
    t.same(found.boot.map(bootLine), boots);
    t.equal(found.os.rackhd?.graph, graph);
    t.notOk(found.os.problems, 'nothing is wrong with it');
  });
}

t.test('names on the disc match in any case', async (t) => {
  const { files = {} } = layouts['CentOS 7'] ?? {};
  const upper = Object.fromEntries(Object.entries(files).map(([path, content]) => [path.toUpperCase(), content]));
  t.equal((await identified(upper)).os.distribution, 'CentOS');
});

t.test('what nobody knows is generic: its own menus say what it boots', async (t) => {
  const { os, boot } = await identified({
    'isolinux/isolinux.cfg':
      'DEFAULT b\nLABEL a\n KERNEL /k/a\nLABEL b\n MENU LABEL ^Second\n KERNEL b\n APPEND initrd=b.img quiet\n',
    ...empty('k/a', 'isolinux/b', 'isolinux/b.img'),
  });
  t.same(os, { family: 'generic', architectures: [], certainty: 'inspection' });
  t.same(boot, [
    { kind: 'linux', title: 'Second', kernel: 'isolinux/b', initrd: ['isolinux/b.img'], args: 'quiet' },
    { kind: 'linux', title: 'a', kernel: 'k/a' },
  ]);
});

t.test('a disc without menus boots as a whole, if it boots at all', async (t) => {
  t.same((await identified({ readme: '' })).boot, []);
  t.same((await identified({ readme: '' }, { isBootable: true })).boot, [{ kind: 'iso' }]);
  t.same((await identified(empty('efi/boot/bootx64.efi'))).boot, [{ kind: 'iso', loader: 'EFI/BOOT/BOOTX64.EFI' }]);
});

t.test('a known system without its kernel boots what its menus say, and the record says why', async (t) => {
  const { files = {} } = layouts['Debian netinst'] ?? {};
  const { '.disk/info': info = '' } = files;
  const { os, boot } = await identified({
    '.disk/info': info,
    'boot/grub/grub.cfg': 'menuentry "Try" {\n linux /vmlinuz root=/dev/ram $extra ;\n initrd /initrd\n}\n',
    ...empty('vmlinuz', 'initrd'),
  });
  t.equal(os.signature, 'debian');
  t.same(os.problems, ['The image has none of the kernels that debian boots']);
  t.same(boot, [{ kind: 'linux', title: 'Try', kernel: 'vmlinuz', initrd: ['initrd'], args: 'root=/dev/ram' }]);
});

t.test('the operator names the signature, and its conditions need not hold', async (t) => {
  const files = empty('images/pxeboot/vmlinuz', 'images/pxeboot/initrd.img');
  const { os, boot } = await identified(files, { given: { system: 'coreos' } });
  t.equal(osLine(os), 'coreos | - | - | - | - | coreos | given');
  t.same(boot.map(bootLine), ['images/pxeboot/vmlinuz images/pxeboot/initrd.img']);
  const unknown = await identified(files, { given: { system: 'beos' } });
  t.equal(unknown.os.family, 'generic');
  t.same(unknown.os.problems, ['No signature is called beos']);
});

t.test('the kernel that the operator names comes first, if the image has it', async (t) => {
  const files = { ...(layouts['CentOS 7']?.files ?? {}), ...empty('mine/vmlinuz', 'mine/a', 'mine/b') };
  const given = { kernel: 'mine/vmlinuz', initrd: ['mine/a', 'mine/b'] };
  const { boot } = await identified(files, { given });
  t.same(boot.map(bootLine)[0], 'mine/vmlinuz mine/a mine/b');
  t.equal(boot.length, 2);
  const { os, boot: without } = await identified(layouts['CentOS 7']?.files ?? {}, { given });
  t.same(os.problems, ['The image has no file mine/vmlinuz']);
  t.equal(without.length, 1);
});

t.test('an operator adds signatures, and replaces those that there are', async (t) => {
  const text = JSON.stringify({
    signatures: [
      {
        name: 'haiku',
        certainty: 'exact',
        when: [{ label: '^haiku-(?<version>r\\w+)' }],
        os: { family: 'haiku', version: '{version}' },
        boot: [{ kind: 'iso' }],
      },
      { name: 'redhat', certainty: 'exact', when: [{ file: '.treeinfo' }], os: { family: 'ours' }, like: 'redhat' },
    ],
  });
  const signatures = readSignatures(text, 'mine.json', shipped);
  t.equal(signatures.length, shipped.length + 1);
  const haiku = await identified({}, { label: 'haiku-r1beta4', signatures });
  t.equal(osLine(haiku.os), 'haiku | - | r1beta4 | - | - | haiku | exact');
  t.equal((await identified(layouts['CentOS 7']?.files ?? {}, { signatures })).os.family, 'ours');
});
