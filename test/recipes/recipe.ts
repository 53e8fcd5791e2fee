import t from 'tap';
import { bootAt } from '../../lib/recipes/bootable.js';
import { allRecipes, type Audience, recipeFor } from '../../lib/recipes/recipe.js';
import { imageOf, server } from '../fixtures/recipes.js';

async function recipe(audience: Audience, system: string, members = {}, url = server): Promise<unknown> {
  const image = await imageOf(system, members);
  const made = recipeFor(audience, image, bootAt(image, 0), url);
  return 'text' in made ? made.text : made.value;
}

/** The options of the workflows of RackHD, per system. */
const workflows: readonly (readonly [system: string, graph: string, options: object])[] = [
  ['CentOS 7', 'Graph.InstallCentOS', { version: '7', repo: `${server}/centos/1` }],
  ['RHEL 8', 'Graph.InstallRHEL', { version: '8.0.0', repo: `${server}/rhel/1` }],
  ['ESXi 6.7', 'Graph.InstallESXi', { version: '6.7.0', repo: `${server}/esxi/1` }],
  ['openSUSE Leap 15', 'Graph.InstallSUSE', { version: '15.6', repo: `${server}/opensuse/1/` }],
  ['SLES 12', 'Graph.InstallSUSE', { version: '12', repo: `${server}/sles/1/` }],
  ['Photon', 'Graph.InstallPhotonOS', { version: '1', repo: `${server}/photon/1` }],
  ['CoreOS, a set of files', 'Graph.InstallCoreOS', { version: '1', repo: `${server}/coreos` }],
  ['Windows PE, a set of files', 'Graph.InstallWindowsServer', { repo: `${server}/windows/1` }],
  [
    'Ubuntu Server 14.04',
    'Graph.InstallUbuntu',
    {
      version: 'trusty',
      repo: `${server}/ubuntu/1`,
      baseUrl: 'install/netboot/ubuntu-installer/amd64',
      kargs: { 'live-installer/net-image': `${server}/ubuntu/1/install/filesystem.squashfs` },
    },
  ],
];

t.test('RackHD gets the workflow of the system, with its options', async (t) => {
  for (const [system, name, defaults] of workflows) {
    t.same(await recipe('rackhd', system), { name, options: { defaults } }, system);
  }
});

t.test('versions and repositories are of the form that RackHD demands', async (t) => {
  for (const [system] of workflows) {
    const { options } = (await recipe('rackhd', system)) as {
      options: { defaults: { version?: string; repo: string } };
    };
    const { version = '1', repo } = options.defaults;
    t.match(version, /^[-0-9a-zA-Z._*+#]+$/, system);
    t.match(repo, /^http:\/\//, system);
  }
});

t.test('arguments of the operator are kargs for RackHD, by name', async (t) => {
  t.match(await recipe('rackhd', 'Ubuntu Server 14.04', { args: 'console=ttyS0,115200 quiet url={tree}/a=b' }), {
    options: {
      defaults: {
        kargs: {
          'live-installer/net-image': /filesystem/,
          console: 'ttyS0,115200',
          quiet: '',
          url: `${server}/ubuntu/1/a=b`,
        },
      },
    },
  });
});

t.test('where RackHD cannot do it, that is said', async (t) => {
  await t.rejects(recipe('rackhd', 'Debian netinst'), { code: 'NOT_FOUND', message: /No workflow of RackHD/ });
  await t.rejects(recipe('rackhd', 'CentOS 7', {}, 'https://h'), { code: 'NOT_FOUND', message: /by http alone/ });
});

t.test('firmware gets the loader and the whole disc', async (t) => {
  t.same(await recipe('uefi-http', 'Ubuntu Server 22.04'), {
    loader: `${server}/ubuntu/1/EFI/BOOT/BOOTX64.EFI`,
    iso: `${server}/iso/ubuntu.iso`,
  });
  t.same(await recipe('uefi-http', 'CentOS 7'), { iso: `${server}/iso/centos.iso` });
  t.match(await recipe('uefi-http', 'ESXi 6.7'), { loader: `${server}/boot/esxi/1/bootx64.efi` });
  await t.rejects(recipe('uefi-http', 'CentOS 7', { iso: undefined }), {
    code: 'NOT_FOUND',
    message: /no loader for UEFI/,
  });
});

t.test('curl gets a command for each file that is needed', async (t) => {
  const text = (await recipe('curl', 'ESXi 6.7', { name: "it's" })) as string;
  t.same(text.trimEnd().split('\n').slice(0, 4), [
    `curl --fail --remote-name '${server}/it'\\''s/1/mboot.c32'`,
    `curl --fail --remote-name '${server}/it'\\''s/1/EFI/BOOT/BOOTX64.EFI'`,
    `curl --fail --remote-name '${server}/it'\\''s/1/boot.cfg'`,
    `curl --fail --remote-name '${server}/it'\\''s/1/b.b00'`,
  ]);
  t.match(await recipe('curl', 'FreeBSD'), `${server}/iso/freebsd.iso`);
});

t.test('all recipes come together, with why the others are missing', async (t) => {
  const image = await imageOf('ESXi 6.7');
  const all = allRecipes(image, bootAt(image, 0), server);
  t.same(Object.keys(all), ['rackhd', 'ipxe', 'uefi-http', 'curl', 'missing']);
  t.match(all['missing'], { grub: /iPXE can/ });
});
