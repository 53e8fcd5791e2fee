import { access, constants, readdir, readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';

/** Where to look; a test has folders of its own. */
export interface Machine {
  readonly proc: string;
  readonly dev: string;
  readonly modules: string;
}

const thisMachine: Machine = { proc: '/proc', dev: '/dev', modules: '/lib/modules' };

/** capability(7). */
const sysAdmin = 1n << 21n;

function can(path: string, mode: number): Promise<boolean> {
  return access(path, mode).then(
    () => true,
    () => false,
  );
}

/** The text of a file, or undefined when it cannot be read. */
function textOf(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(() => undefined);
}

/** What does not tell does not forbid: mount(8) will. */
async function mayMount({ proc }: Machine): Promise<boolean> {
  const status = (await textOf(join(proc, 'self/status'))) ?? '';
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  // mount(8) refuses whoever is not root by the real user id, whatever the capabilities say.
  const user = /^Uid:\s*([0-9]+)/m.exec(status)?.[1];
  return (user ?? '0') === '0' && (effective === undefined || (BigInt(`0x${effective}`) & sysAdmin) !== 0n);
}

/** Whether a kernel has a file system, or may load it; true when that cannot be told. */
async function mayHave(types: Readonly<Record<string, string>>, { proc, modules }: Machine): Promise<boolean> {
  const listed = await textOf(join(proc, 'filesystems'));
  if (listed === undefined || Object.keys(types).some((type) => listed.split(/\s+/).includes(type))) return true;
  // In a container the modules are often not to be seen, and are loaded all the same.
  const known = await textOf(join(modules, release(), 'modules.dep'));
  return known === undefined || Object.values(types).some((module) => known.includes(`/${module}.ko`));
}

async function hasLoopDevice({ dev }: Machine): Promise<boolean> {
  if (await can(join(dev, 'loop-control'), constants.R_OK | constants.W_OK)) return true;
  const names = await readdir(dev).catch(() => []);
  const devices = names.filter((name) => /^loop[0-9]+$/.test(name));
  const usable = await Promise.all(devices.map((name) => can(join(dev, name), constants.R_OK | constants.W_OK)));
  return usable.includes(true);
}

/**
 * Why the kernel cannot mount ISOs here, in one sentence; undefined when nothing is known to be in the way.
 * @param program absolute path of mount(8)
 */
export async function loopObstacle(program: string, machine = thisMachine): Promise<string | undefined> {
  if (!(await can(program, constants.X_OK))) return 'mount is not installed';
  if (!(await mayMount(machine)))
    return 'the service has no right to mount: it takes root with the capability CAP_SYS_ADMIN';
  if (!(await hasLoopDevice(machine))) return 'there is no loop device that the service may use: /dev/loop-control';
  if (await mayHave({ iso9660: 'isofs', udf: 'udf' }, machine)) return undefined;
  return 'the kernel has neither iso9660 nor udf, and no module for them';
}

/**
 * Why fuseiso cannot mount ISOs here, in one sentence; undefined when nothing is known to be in the way.
 * @param program absolute path of fuseiso(1)
 */
export async function fuseObstacle(program: string, machine = thisMachine): Promise<string | undefined> {
  if (!(await can(program, constants.X_OK))) return 'fuseiso is not installed';
  if (await can(join(machine.dev, 'fuse'), constants.R_OK | constants.W_OK)) return undefined;
  return (await can(join(machine.dev, 'fuse'), constants.F_OK))
    ? 'the service has no permission to use /dev/fuse'
    : 'there is no /dev/fuse';
}
