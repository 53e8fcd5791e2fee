import t from 'tap';
import { identify } from '../../lib/systems/identify.js';
import { markerBytes } from '../../lib/systems/markers.js';
import { ServiceError } from '../../lib/errors.js';
import { MemoryTree } from '../fixtures/memory-tree.js';
import { empty, esxiBootConfig, identified, layouts, shipped } from '../fixtures/systems.js';

const esxi = layouts['ESXi 6.7']?.files ?? {};

t.test('of a marker of 4 GB the first bytes are read, and the record says so', async (t) => {
  const { os, boot } = await identified({ '.treeinfo': 2 ** 32, ...empty('vmlinuz') });
  t.equal(os.family, 'generic');
  t.same(os.problems, [`Of ".treeinfo" the first ${markerBytes} bytes count`]);
  t.same(boot, []);
});

t.test('a .treeinfo with a thousand sections is read as far as the first bytes go', async (t) => {
  const sections = Array.from(
    { length: 1000 },
    (_, index) => `[images-${index}]\nkernel = k${index}\ninitrd = i${index}`,
  );
  const general = '[general]\nfamily = CentOS\nversion = 7\narch = 999\n';
  const { os } = await identified({ '.treeinfo': general + sections.join('\n'), ...empty('k999', 'i999') });
  t.equal(os.distribution, 'CentOS');
  const long = sections.map((section) => section + '\nx = '.padEnd(100, 'x'));
  t.equal(
    (await identified({ '.treeinfo': general + long.join('\n'), ...empty('k999', 'i999') })).os.family,
    'generic',
  );
});

t.test('a boot.cfg that leads out of the image boots nothing, and the record says why', async (t) => {
  const config = esxiBootConfig.replace('/k.b00', '../../etc/shadow');
  const { os, boot } = await identified({ ...esxi, 'BOOT.CFG': config }, { label: 'ESXI-6.7.0' });
  t.match(os.problems?.[0], /"boot\.cfg": boot\.cfg names "\.\.\/\.\.\/etc\/shadow" is not allowed: no way up/);
  t.same(
    boot.map(({ kind }) => kind),
    ['iso'],
  );
});

t.test('a .treeinfo that leads out of the image boots nothing of it', async (t) => {
  const treeinfo = '[general]\nfamily = F\nversion = 1\narch = x\n[images-x]\nkernel = ../../vmlinuz\ninitrd = i\n';
  const { os, boot } = await identified({ '.treeinfo': treeinfo, i: '' });
  t.match(os.problems?.[0], /The path "\.\.\/\.\.\/vmlinuz" is not allowed/);
  t.same(boot, []);
});

t.test('a kernel with a slash before it is one of the disc, and none of the file server', async (t) => {
  const treeinfo = '[general]\nfamily = F\nversion = 1\narch = x\n[images-x]\nkernel = /common/k\ninitrd = /i\n';
  t.same((await identified({ '.treeinfo': treeinfo, i: '' })).boot, []);
  const { boot } = await identified({ '.treeinfo': treeinfo, 'common/k': '', i: '' });
  t.match(boot, [{ kernel: 'common/k', initrd: ['i'] }]);
});

t.test('a value that would end the command of a boot loader is none', async (t) => {
  const treeinfo = '[general]\nfamily = F || shell\nversion = 1\narch = x\n[images-x]\nkernel = k\ninitrd = i\n';
  t.equal((await identified({ '.treeinfo': treeinfo, k: '', i: '' })).os.distribution, undefined);
});

t.test('placeholders, control characters and endless values of a disc are no values', async (t) => {
  for (const version of ['{iso}', `1${'0'.repeat(300)}`, '1\u0007', '${x}', '1`id`']) {
    const treeinfo = `[general]\nfamily = F\nversion = ${version}\narch = x\n[images-x]\nkernel = k\ninitrd = i\n`;
    const { os } = await identified({ '.treeinfo': treeinfo, k: '', i: '' });
    t.equal(os.version, undefined, version.slice(0, 10));
  }
});

t.test('arguments of a menu that would end the command of a boot loader are left out', async (t) => {
  const menu = 'label a\nkernel k\nappend quiet || shell ; exit && chain ${x} `id` a;b\n';
  const { boot } = await identified({ 'isolinux/isolinux.cfg': menu, 'isolinux/k': '' });
  t.equal(boot[0]?.args, 'quiet shell exit chain a;b');
});

t.test('menus that take in each other end', async (t) => {
  const { boot } = await identified({
    'isolinux/isolinux.cfg': 'include b.cfg\ninclude ../../../etc/passwd\n',
    'isolinux/b.cfg': 'menu include isolinux.cfg\nlabel b\nkernel k\n',
    'isolinux/k': '',
  });
  t.same(boot, [{ kind: 'linux', title: 'b', kernel: 'isolinux/k' }]);
});

t.test('a record shows so many entries of a menu, and not all of a thousand', async (t) => {
  const labels = Array.from({ length: 1000 }, (_, index) => `label ${index}\nkernel k\nappend n=${index}`);
  t.equal((await identified({ 'isolinux.cfg': labels.join('\n'), k: '' })).boot.length, 16);
});

t.test('a folder that cannot be read is a problem of the record, and no failure', async (t) => {
  const tree = new MemoryTree({ readme: '' });
  tree.lookup = () => Promise.reject(new ServiceError('BROKEN_ISO', 'The folder is broken'));
  const found = await identify({ tree, label: '', isBootable: false, name: 'a', version: '1' }, {}, shipped);
  t.equal(found.os.family, 'generic');
  t.match(found.os.problems?.[0], /The folder is broken/);
  t.ok((found.os.problems?.length ?? 0) <= 20);
});

t.test('a disc on which nothing is known costs few looks', async (t) => {
  const tree = new MemoryTree({ readme: '' });
  await identify({ tree, label: '', isBootable: false, name: 'a', version: '1' }, {}, shipped);
  t.ok(tree.lookups < 100, `${tree.lookups} looks`);
});
