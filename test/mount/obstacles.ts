import { chmod, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { fuseObstacle, loopObstacle, type Machine } from '../../lib/mount/obstacles.js';

const program = '/bin/true';
const root = 'Name:\tnode\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n';
const files = 'nodev\tsysfs\n\text4\n\tiso9660\n';

interface Parts {
  readonly status?: string;
  readonly filesystems?: string;
  readonly dev?: Record<string, string>;
  readonly dep?: string;
}

/** A machine made of folders. */
function machine(t: Test, { status = root, filesystems = files, dev = { 'loop-control': '' }, dep }: Parts): Machine {
  const modules = dep === undefined ? {} : { [release()]: { 'modules.dep': dep } };
  const folder = t.testdir({ proc: { self: { status }, filesystems }, dev, modules });
  return { proc: join(folder, 'proc'), dev: join(folder, 'dev'), modules: join(folder, 'modules') };
}

t.test('what keeps the kernel from mounting is told in one sentence', async (t) => {
  const noIso = 'nodev\tsysfs\n\text4\n';
  const cases: [name: string, parts: Parts, obstacle: RegExp | undefined][] = [
    ['everything is there', {}, undefined],
    ['only udf', { filesystems: '\tudf\n' }, undefined],
    ['no CAP_SYS_ADMIN', { status: 'CapEff:\t000001ffffdfffff\n' }, /CAP_SYS_ADMIN/],
    ['nothing but CAP_SYS_ADMIN', { status: 'CapEff:\t0000000000200000\n' }, undefined],
    ['another user with all capabilities', { status: root.replace('Uid:\t0', 'Uid:\t1000') }, /takes root/],
    ['a kernel that does not tell', { status: '' }, undefined],
    ['no loop device', { dev: { loopback: '', sda: '' } }, /no loop device/],
    ['only a loop device', { dev: { loop7: '' } }, undefined],
    ['neither file system, no modules to see', { filesystems: noIso }, undefined],
    [
      'neither file system, other modules',
      { filesystems: noIso, dep: 'kernel/fs/xfs/xfs.ko:\n' },
      /neither iso9660 nor udf/,
    ],
    ['modules that can be loaded', { filesystems: noIso, dep: 'kernel/fs/isofs/isofs.ko.xz:\n' }, undefined],
  ];
  for (const [name, parts, obstacle] of cases) {
    await t.test(name, async (t) => {
      const found = await loopObstacle(program, machine(t, parts));
      if (obstacle === undefined) t.equal(found, undefined);
      else t.match(found, obstacle);
    });
  }
});

t.test('what keeps fuseiso from mounting is told in one sentence', async (t) => {
  t.equal(await fuseObstacle(program, machine(t, { dev: { fuse: '' } })), undefined);
  t.match(await fuseObstacle(program, machine(t, { dev: {} })), /no \/dev\/fuse/);
});

t.test('a program that is missing, or cannot be run, is not installed', async (t) => {
  const here = machine(t, { dev: { fuse: '', 'loop-control': '' } });
  const text = join(here.dev, 'fuse');
  await writeFile(text, '');
  await chmod(text, 0o644);
  for (const program of [join(here.dev, 'none'), text]) {
    t.equal(await loopObstacle(program, here), 'mount is not installed');
    t.equal(await fuseObstacle(program, here), 'fuseiso is not installed');
  }
});

t.test('this machine can be asked', async (t) => {
  t.match(await loopObstacle('/none'), /mount/);
  t.match(await fuseObstacle('/none'), /fuseiso/);
});
