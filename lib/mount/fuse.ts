import { access, constants } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { ServiceError } from '../errors.js';
import type { Log } from '../log.js';
import { type ChildDriver, type ChildDriverOptions, mountKept, patienceOf } from './child-driver.js';
import { requireReadable } from './fuse-refusal.js';
import type { Attacher } from './attacher.js';
import { MountPoints } from './mount-points.js';
import { findMount } from './mountinfo.js';
import { fuseObstacle } from './obstacles.js';
import type { Patience } from './patience.js';
import { OpenIso, type Reading } from './open-iso.js';
import { type Outcome, type Running, start, wordsOf } from './run.js';
import { ThreadWatch } from './thread-watch.js';

export interface FuseOptions extends ChildDriverOptions {
  /** Absolute path of fuseiso(1). */
  readonly fuseiso?: string;
  /** Absolute path of setpriv(1): where it is installed, fuseiso ends with the service even when that is killed. */
  readonly setpriv?: string;
}

/** Milliseconds between two looks at mountinfo. */
const lookPause = 20;

/** `-f` stays in the foreground: a child that can be watched. `-n` keeps no list of mounts in somebody's home. */
export function fuseisoArguments(path: string, point: string, isRoot: boolean): string[] {
  // Else no other user sees the tree, not even to share it on. Only root may allow that without being asked.
  const others = isRoot ? ',allow_other' : '';
  // Behind the two paths, as fuseiso itself knows no -f and hands on what follows them.
  return ['-n', path, point, '-f', '-o', `ro,nosuid,nodev,noexec${others}`];
}

async function startFuseiso(fuseiso: string, setpriv: string, args: readonly string[]): Promise<Running> {
  const isThere = await access(setpriv, constants.X_OK).then(
    () => true,
    () => false,
  );
  // It takes the names of the disc to be in the locale's character set. On TERM it takes its mount away before it ends.
  if (!isThere) return start(fuseiso, args, 'C.UTF-8');
  // The signal comes with the end of the thread that has started it, which is the main thread.
  return start(setpriv, ['--pdeathsig', 'TERM', '--', fuseiso, ...args], 'C.UTF-8');
}

/**
 * The processes of a driver. When no thread is left for files, one of them hangs; which one could only be asked with a
 * thread, or with a process that would hang too. So all are ended, and what was well is mounted again.
 */
class Herd {
  readonly #running = new Set<Running>();
  #watch: ThreadWatch | undefined;

  constructor(
    private readonly patience: Patience,
    private readonly log: Log,
  ) {}

  add(running: Running): void {
    this.#running.add(running);
    this.#watch ??= new ThreadWatch(this.patience.answer, this.patience.watch, () => this.#end());
    void running.ended.then(() => {
      this.#running.delete(running);
      if (this.#running.size > 0) return;
      this.#watch?.stop();
      this.#watch = undefined;
    });
  }

  #end(): void {
    this.log.error(
      'no thread is left for files: the processes of all FUSE mounts are ended, and their mounts made again',
    );
    for (const running of this.#running) running.kill();
  }
}

/** Waits until the mount is there, or its process has ended. */
async function appears(point: string, running: Running, timeout: number): Promise<Outcome | undefined> {
  let outcome: Outcome | undefined;
  void running.ended.then((ended) => (outcome = ended));
  const deadline = Date.now() + timeout;
  while ((await findMount(point)) === undefined) {
    if (outcome !== undefined) return outcome;
    if (Date.now() > deadline) return { type: 'timeout', stderr: running.stderr() };
    await delay(lookPause);
  }
  return undefined;
}

type StartFuseiso = (path: string, point: string) => Promise<Running>;

function attachBy(startOne: StartFuseiso, timeout: number, herd: Herd): Attacher['attach'] {
  return async (path, point) => {
    const running = await startOne(path, point);
    herd.add(running);
    const names = new Map([
      [path, 'the ISO'],
      [point, 'the mount point'],
    ]);
    const kill = () => running.kill();
    try {
      const outcome = await appears(point, running, timeout);
      if (outcome === undefined) return { kill, ended: running.ended.then((end) => `fuseiso: ${wordsOf(end, names)}`) };
      throw new ServiceError('UNAVAILABLE', `fuseiso did not mount the ISO: ${wordsOf(outcome, names)}`);
    } catch (error) {
      kill();
      throw error;
    }
  };
}

/**
 * Lets fuseiso mount the ISO: needs no root where /dev/fuse may be used. What it cannot read is refused, and a mount
 * whose process has died is made again.
 */
export function createFuseDriver(options: FuseOptions): ChildDriver {
  const points = new MountPoints(options.mountDir);
  const fuseiso = options.fuseiso ?? '/usr/bin/fuseiso';
  const patience = patienceOf(options);
  const herd = new Herd(patience, options.log);
  const { setpriv = '/usr/bin/setpriv' } = options;
  const startOne: StartFuseiso = (path, point) =>
    startFuseiso(fuseiso, setpriv, fuseisoArguments(path, point, patience.isRoot));
  const attach = attachBy(startOne, patience.timeout, herd);
  return {
    name: 'fuse',
    whyNot: () => fuseObstacle(fuseiso),
    async mount(source) {
      const check = ({ volume }: Reading) => requireReadable(source, volume);
      return mountKept('fuse', source, await OpenIso.open(source), { attach, check }, points, options);
    },
  };
}
