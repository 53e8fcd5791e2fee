import { ServiceError } from '../errors.js';
import type { View, ViewChoice } from '../iso/volume.js';
import { type ChildDriver, type ChildDriverOptions, mountKept, patienceOf } from './child-driver.js';
import type { Attacher } from './attacher.js';
import { MountPoints } from './mount-points.js';
import type { MountSource } from './mount.js';
import { findMount, type MountEntry } from './mountinfo.js';
import { OpenIso } from './open-iso.js';
import { run, wordsOf } from './run.js';
import { loopObstacle } from './obstacles.js';

export interface LoopOptions extends ChildDriverOptions {
  /** Absolute path of mount(8). */
  readonly mount?: string;
}

/** Without `-t` the kernel would try every file system that it has on an uploaded file. UDF first, as mount(8) does. */
const types: Readonly<Record<ViewChoice, string>> = {
  auto: 'udf,iso9660',
  udf: 'udf',
  rockridge: 'iso9660',
  joliet: 'iso9660',
  iso9660: 'iso9660',
};

/** Options of isofs that hide the trees which it would prefer. */
const hiding: Partial<Readonly<Record<ViewChoice, string>>> = { joliet: ',norock', iso9660: ',norock,nojoliet' };

/** The arguments of mount(8). Both paths are absolute, and stand where no option is looked for. */
export function mountArguments(path: string, point: string, view: ViewChoice): string[] {
  const options = `loop,ro,nosuid,nodev,noexec${hiding[view] ?? ''}`;
  return ['-t', types[view], '-o', options, '--', path, point];
}

function refusal(stderr: string): ServiceError {
  // Our reader found nothing wrong with it, but the kernel did. Anything else is a matter of this machine.
  const isRefused = /wrong fs type|bad superblock|can't read superblock/i.test(stderr);
  return new ServiceError(isRefused ? 'UNSUPPORTED_ISO' : 'UNAVAILABLE', `The kernel did not mount the ISO: ${stderr}`);
}

/**
 * Whether a mount shows a tree. mount(8) takes the same loop device for the same .iso, and the kernel mounts the same
 * device as it was mounted first: what is asked for then is dropped without a word.
 * @param choice with which it was asked for
 * @param options as isofs tells them, which is what has come of those that it was given
 */
export function showsView(
  view: View,
  choice: ViewChoice,
  { type, options }: Pick<MountEntry, 'type' | 'options'>,
): boolean {
  // Without its module for UDF the kernel shows the ISO 9660 tree, which may be a stub or have wrong sizes.
  if ((view === 'udf') !== (type === 'udf')) return false;
  if (type !== 'iso9660') return true;
  const isJoliet = options.includes('check=r');
  // A disc without Rock Ridge is not marked so when nobody has asked to ignore it.
  const mayBeRockRidge = !options.includes('norock');
  if (view === 'joliet') return isJoliet;
  return !isJoliet && (mayBeRockRidge ? view === 'rockridge' || choice === 'auto' : view !== 'rockridge');
}

function otherView(view: View, shown: MountEntry): ServiceError {
  const other = shown.type === 'iso9660' && view !== 'udf' ? 'another view' : shown.type;
  const why = 'another image may show the same ISO with another view, which the kernel does not do at the same time';
  return new ServiceError('UNAVAILABLE', `The kernel mounted the ISO as ${other}, not its ${view} tree: ${why}`);
}

/** The ISO opened for comparison: of a disc that has UDF too, mount(8) shows UDF. */
async function openAsMounted(source: MountSource): Promise<OpenIso> {
  const iso = await OpenIso.open(source);
  if (iso.reading.volume.view !== 'bridge') return iso;
  await iso.release();
  return OpenIso.open({ ...source, view: 'udf' });
}

function attacherOf(program: string, timeout: number, choice: ViewChoice, view: View): Attacher {
  return {
    async attach(path, point) {
      const outcome = await run(program, mountArguments(path, point, choice), { timeout });
      if (outcome.type !== 'exit' || outcome.status !== 0) {
        const names = [path, point] as const;
        throw refusal(
          wordsOf(
            outcome,
            new Map([
              [names[0], 'the ISO'],
              [names[1], 'the mount point'],
            ]),
          ),
        );
      }
      const shown = await findMount(point);
      if (shown === undefined) throw new ServiceError('UNAVAILABLE', 'mount(8) ended well, and mounted nothing');
      if (showsView(view, choice, shown)) return {};
      throw otherView(view, shown);
    },
  };
}

/**
 * Lets the kernel mount the ISO by a loop device, with mount(8): for root, and for those who trust their uploads to the
 * kernel's own readers. The tree shows what the kernel shows.
 */
export function createLoopDriver(options: LoopOptions): ChildDriver {
  const points = new MountPoints(options.mountDir);
  const program = options.mount ?? '/usr/bin/mount';
  const { timeout } = patienceOf(options);
  return {
    name: 'loop',
    whyNot: () => loopObstacle(program),
    async mount(source) {
      const iso = await openAsMounted(source);
      const attacher = attacherOf(program, timeout, source.view ?? 'auto', iso.reading.volume.view);
      return mountKept('loop', source, iso, attacher, points, options);
    },
  };
}
