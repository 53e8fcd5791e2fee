import { gzipSync } from 'node:zlib';
import t from 'tap';
import { ServiceError } from '../../lib/errors.js';
import { check, type CheckReport } from '../../lib/systems/check.js';
import type { Boot } from '../../lib/systems/system.js';
import { type Files, MemoryTree } from '../fixtures/memory-tree.js';
import { empty, esxiBootConfig } from '../fixtures/systems.js';

const patient = new AbortController().signal;

async function checked(files: Files, { boot = [] as Boot[], view = 'rockridge' } = {}): Promise<CheckReport> {
  const tree = new MemoryTree(files);
  const report = await check({ tree, boot, view }, patient);
  t.equal(tree.open, 0, 'no file is left open');
  return report;
}

/** What was found, a line each. */
async function lines(files: Files, image = {}): Promise<string[]> {
  return (await checked(files, image)).findings.map(({ kind, path, namedBy }) =>
    [kind, path, namedBy ?? '-'].join(' '),
  );
}

const repomd = `<?xml version="1.0"?>
<repomd>
  <data type="primary"><location href="repodata/abc-primary.xml.gz"/></data>
  <data type="other"><location href="repodata/a&amp;b-other.xml.gz"/></data>
  <data type="far"><location xml:base="http://mirror.example.com/" href="repodata/far.xml.gz"/></data>
</repomd>`;

t.test('an image that has all that it names has no findings', async (t) => {
  const files = { 'repodata/repomd.xml': repomd, ...empty('repodata/ABC-primary.xml.gz', 'repodata/a&b-other.xml.gz') };
  t.same(await checked(files), { findings: [], found: 0, entries: 4, names: 2, isComplete: true });
});

t.test('files that repomd.xml names and the tree lacks are told, in every repository of the disc', async (t) => {
  t.same(
    await lines({
      'BaseOS/repodata/repomd.xml': repomd,
      'repodata/repomd.xml': repomd,
      'repodata/abc-primary.xml.gz': '',
    }),
    [
      'missing repodata/a&b-other.xml.gz repodata/repomd.xml',
      'missing BaseOS/repodata/abc-primary.xml.gz BaseOS/repodata/repomd.xml',
      'missing BaseOS/repodata/a&b-other.xml.gz BaseOS/repodata/repomd.xml',
    ],
  );
});

t.test('so are those of .treeinfo, but for the boot.iso that no disc holds', async (t) => {
  const treeinfo = [
    '[checksums]',
    'images/efiboot.img = sha256:00',
    'images/boot.iso = sha256:00',
    '[images-x86_64]',
    'kernel = images/pxeboot/vmlinuz',
    'initrd = images/pxeboot/initrd.img',
    'boot.iso = images/boot.iso',
    '[stage2]',
    'mainimage = LiveOS/squashfs.img',
  ].join('\n');
  t.same(await lines({ '.treeinfo': treeinfo, ...empty('images/pxeboot/vmlinuz', 'images/efiboot.img') }), [
    'missing images/pxeboot/initrd.img .treeinfo',
    'missing LiveOS/squashfs.img .treeinfo',
  ]);
});

t.test('so are those of boot.cfg', async (t) => {
  t.same(await lines({ 'BOOT.CFG': esxiBootConfig, ...empty('B.B00', 'USEROPTS.GZ', 'K.B00') }), [
    'missing jumpstrt.gz BOOT.CFG',
  ]);
  const leading = await lines({ 'boot.cfg': 'kernel=/k\nmodules=../../etc/shadow', k: '' });
  t.same(leading, ['unreadable boot.cfg -']);
});

t.test('so are those of Packages.gz', async (t) => {
  const packages = 'Package: a\nFilename: pool/main/a/a_1.deb\n\nPackage: b\nFilename: pool/main/b/b_1.deb\n';
  const path = 'dists/stable/main/binary-amd64/Packages';
  const pool = empty('pool/main/a/a_1.deb');
  t.same(await lines({ [`${path}.gz`]: gzipSync(packages), ...pool }), [`missing pool/main/b/b_1.deb ${path}.gz`]);
  t.same(await lines({ [path]: packages, ...pool }), [`missing pool/main/b/b_1.deb ${path}`]);
  const below = Object.fromEntries(Object.keys(pool).map((name) => [`debian/${name}`, '']));
  t.same(await lines({ [`debian/${path}`]: packages, ...below }), [
    `missing debian/pool/main/b/b_1.deb debian/${path}`,
  ]);
});

t.test('a Packages.gz that is broken or cut off is told as such', async (t) => {
  const path = 'dists/stable/main/binary-amd64/Packages.gz';
  const whole = gzipSync('Filename: pool/a.deb\n'.repeat(1000));
  for (const bytes of [Buffer.from('no gzip'), whole.subarray(0, whole.length - 20)]) {
    const { findings } = await checked({ [path]: bytes, 'pool/a.deb': '' });
    t.match(findings, [{ kind: 'unreadable', path, message: /cannot be read to its end/ }]);
  }
});

t.test('a name of 64 units in a tree of Joliet may be cut', async (t) => {
  const cut = `${'a'.repeat(60)}.xml`;
  t.equal(cut.length, 64);
  const files = { [`repodata/${cut}`]: '', [`repodata/${'b'.repeat(63)}`]: '' };
  t.same(await lines(files, { view: 'joliet' }), [`cut repodata/${cut} -`]);
  t.same(await lines(files), []);
});

t.test('names that differ only by case are told', async (t) => {
  t.same(await lines(empty('boot/README', 'boot/readme', 'Boot2/x')), ['case boot/readme -']);
});

t.test('so is what the boot of the image needs', async (t) => {
  const boot: Boot[] = [
    { kind: 'linux', kernel: 'k', initrd: ['i'], files: ['s'] },
    { kind: 'linux', kernel: '/common/wimboot' },
  ];
  t.same(await lines(empty('k'), { boot }), ['missing i the boot of the image', 'missing s the boot of the image']);
});

t.test('a long list is looked at as far as the limits go, and the report says so', async (t) => {
  const path = 'dists/stable/main/binary-amd64/Packages.gz';
  const limits = { findings: 5, entries: 10, names: 20, packagesBytes: 1000 };
  const check1 = (lines: number, changed = {}) => {
    const tree = new MemoryTree({ [path]: gzipSync('Filename: x\n'.repeat(lines)) });
    return check({ tree, boot: [], view: 'udf' }, patient, { ...limits, ...changed });
  };
  t.match(await check1(20), { found: 20, names: 20, isComplete: true });
  const many = await check1(1_000_000, { packagesBytes: 2 ** 28 });
  t.match([many.found, many.findings.length, many.names, many.isComplete], [20, 5, 21, false]);
  t.match(await check1(20, { entries: 4 }), { isComplete: false });
});

t.test('a list that expands without end takes a bounded part of it', async (t) => {
  const path = 'dists/stable/main/binary-amd64/Packages.gz';
  const text = Buffer.concat([Buffer.alloc(50 * 2 ** 20), Buffer.from('\nFilename: x\n')]);
  const tree = new MemoryTree({ [path]: gzipSync(text, { level: 1 }) });
  const limits = { findings: 5, entries: 10, names: 20, packagesBytes: 2 ** 20 };
  t.match(await check({ tree, boot: [], view: 'udf' }, patient, limits), { found: 0, names: 0 });
});

t.test('a check ends when nobody wants it any more', async (t) => {
  const tree = new MemoryTree(empty('a/b', 'c/d'));
  await t.rejects(check({ tree, boot: [], view: 'udf' }, AbortSignal.abort()), { code: 'TIMEOUT' });
});

t.test('folders that cannot be read are passed over', async (t) => {
  const tree = new MemoryTree(empty('a/b'));
  const lookup = tree.lookup.bind(tree);
  tree.lookup = (path, match) =>
    path.length > 0 ? Promise.reject(new ServiceError('BROKEN_ISO', 'broken')) : lookup(path, match);
  t.match(await check({ tree, boot: [], view: 'udf' }, patient), { found: 0, entries: 1 });
});
