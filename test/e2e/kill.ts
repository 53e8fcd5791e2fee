import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import t from 'tap';
import { Checks } from '../fixtures/kill-checks.js';
import { startMirror } from '../fixtures/kill-far-end.js';
import { Cell, makeContents } from '../fixtures/kill-model.js';
import { act, type World } from '../fixtures/kill-operations.js';
import { mainFile, startProgram, type TestProcess } from '../fixtures/process.js';
import { Random } from '../fixtures/random.js';
import { temporaryFolder } from '../fixtures/service.js';

/** `node dist/test/e2e/kill.js [KILLS [SEED]]` */
const kills = Number(process.argv[2] ?? 12);
const seed = Number(process.argv[3] ?? Date.now() % 1_000_000);

const several = (name: string, count: number) => Array.from({ length: count }, (_, index) => `${name}-${index}`);

const cells = [
  new Cell('uploads', 'u.iso', several('u', 2)),
  new Cell('uploads', 'v.iso', several('v', 2)),
  new Cell('microkernels', 'k', []),
  new Cell('downloads', 'd.iso', several('d', 1)),
  new Cell('downloads', 'e.iso', several('e', 1)),
  new Cell('images', 'i.iso', several('i', 6)),
  new Cell('images', 'j.iso', several('j', 6)),
];

/** When the next kill is due: after so many milliseconds, or so many interesting moments, whichever is first. */
function dueAfter(random: Random) {
  const milliseconds = random.below(1200);
  if (random.below(2) === 0) return { milliseconds, moments: Infinity, delay: 0 };
  return { milliseconds: 3000, moments: 1 + random.below(40), delay: random.below(6) };
}

/** Starts the program on what is there and kills it before it is up. */
async function killedWhileStarting(folder: string, random: Random): Promise<void> {
  const child = spawn(process.execPath, [mainFile, '--config', join(folder, 'config.json')], { stdio: 'ignore' });
  const closed = once(child, 'close');
  await delay(random.below(500));
  child.kill('SIGKILL');
  await closed;
}

t.setTimeout((kills + 5) * 20_000);

t.test(`killed again and again, with the seed ${seed}, the service keeps what it has acknowledged`, async (t) => {
  const random = new Random(seed);
  const folder = await temporaryFolder(t);
  const contents = makeContents(8);
  const mirror = await startMirror(t, contents);
  const checks = new Checks(folder, cells);
  const interrupted = new Set<string>();
  const randoms = cells.map((_, index) => new Random(seed * 31 + index));
  const count = { acknowledged: 0, unanswered: 0, starts: 0 };
  let service: TestProcess | undefined;
  t.teardown(() => service?.end('SIGKILL'));

  /** Lets everybody work, and kills the service under them. */
  const rampage = async ({ child, north, south }: TestProcess) => {
    const due = dueAfter(random);
    let isKilled = false;
    let reached: () => void = () => undefined;
    const moments = new Promise<void>((resolve) => (reached = resolve));
    const world: World = {
      ...{ north, south, contents, mirror, interrupted },
      isKilled: () => isKilled,
      moment: () => {
        due.moments -= 1;
        if (due.moments === 0) setTimeout(reached, due.delay);
      },
      acknowledged: () => (count.acknowledged += 1),
      problem: (text) => checks.problems.push(text),
    };
    const acting = Promise.all(
      cells.map((cell, index) => act({ world, cell, random: randoms[index] ?? random })),
    ).catch((error: unknown) => checks.problems.push(String(error)));
    await Promise.race([moments, delay(due.milliseconds)]);
    isKilled = true;
    child.kill('SIGKILL');
    await acting;
    count.unanswered += cells.filter(({ certain }) => certain === undefined).length;
  };

  for (let kill = 0; kill <= kills && t.passing(); kill++) {
    service = await startProgram(folder);
    const isLast = kill === kills;
    // Now and then the next kill comes while downloads of before still go on.
    if (isLast || random.below(4) > 0) await checks.settled(service, interrupted);
    else await checks.atOnce(service);
    t.same(checks.problems, [], `kill ${kill}`);
    if (!t.passing()) t.comment(service.output().slice(-3000));
    if (isLast || !t.passing()) break;
    await rampage(service);
    await service.end('SIGKILL');
    await checks.inventory();
    if (random.below(5) > 0) continue;
    await killedWhileStarting(folder, random);
    count.starts += 1;
    await checks.inventory();
  }
  t.comment(
    `seed ${seed}: ${kills} kills and ${count.starts} while starting; ${count.acknowledged} operations acknowledged, ` +
      `${count.unanswered} unanswered; ${checks.files} files compared; ${mirror.continued()} downloads continued`,
  );
});
