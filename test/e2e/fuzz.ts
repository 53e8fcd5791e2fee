import { randomInt } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import { messageOf } from '../../lib/errors.js';
import { type Operation, operationsWith } from '../fixtures/fuzz-operations.js';
import { Player } from '../fixtures/fuzz-player.js';
import { hostileBytes } from '../fixtures/fuzz-raw.js';
import { changesOf, listsAtRest, talkHostile } from '../fixtures/fuzz-talk.js';

/** `node dist/test/e2e/fuzz.js [--runs N] [--seed S]`; or by FUZZ_RUNS and FUZZ_SEED. The same seed does the same again. */
const { values } = parseArgs({ options: { runs: { type: 'string' }, seed: { type: 'string' } } });

function numberOf(key: 'runs' | 'seed', usual: number): number {
  const text = values[key] ?? process.env[`FUZZ_${key.toUpperCase()}`] ?? String(usual);
  if (/^\d{1,9}$/.test(text)) return Number(text);
  throw new Error(`${key} ${text}: allowed is a number of up to 9 digits`);
}

const runs = numberOf('runs', 16);
const seed = numberOf('seed', randomInt(1_000_000_000));

t.setTimeout(0);

/** A service that is there for run after run, and another one where a run has shown that it is not as it should be. */
class Stage {
  #player: Player | undefined;
  requests = 0;

  async use(work: (player: Player) => Promise<void>): Promise<void> {
    const player = (this.#player ??= await Player.start());
    const before = player.requests;
    try {
      await work(player);
    } catch (error) {
      player.problems.push(String(error));
      // A connection breaks before the end of its process is known.
      await delay(200);
    }
    this.requests += player.requests - before;
    if (player.problems.length === 0 && player.isAlive) return;
    const output = player.isAlive ? '' : `; it has ended: ${player.service.output().slice(-2000)}`;
    await this.close();
    throw new Error(player.problems.join('\n') + output);
  }

  async close(): Promise<void> {
    await this.#player?.end();
    this.#player = undefined;
  }
}

async function holds<T>(t: Test, property: fc.IAsyncProperty<T>, numRuns: number): Promise<void> {
  // Whoever waits for the suite must not wait until a failure is as short as it can be.
  const interruptAfterTimeLimit = 10_000 * numRuns;
  const limits = { interruptAfterTimeLimit, markInterruptAsFailure: true };
  const { failed, counterexample, errorInstance } = await fc.check(property, { seed, numRuns, ...limits });
  if (!failed) t.pass(`${numRuns} runs`);
  else t.fail(messageOf(errorInstance), { again: `--runs ${runs} --seed ${seed}`, counterexample });
}

const local = ['l.iso', 'other/l.iso', 'a.iso', 'b+%41 \u00e9.iso', 'noise.iso', 'missing.iso', 'other'];

t.test(`the stores are as the model says, with the seed ${seed}`, async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  const operations = operationsWith(local.map((path) => `elsewhere/${path}`));
  const restarts = fc.nat(4).map((number) => number === 0);
  const property = fc.asyncProperty(operations, restarts, (sequence, isRestarted) =>
    stage.use(async (player) => {
      for (const operation of sequence) {
        await player.play(operation);
        if (player.problems.length > 0) return;
      }
      if (isRestarted) await player.restart();
      else await player.checkAll();
      await player.clear();
    }),
  );
  await holds(t, property, runs);
  await stage.use((player) => player.rest());
  t.comment(`seed ${seed}: ${stage.requests} requests`);
});

/** Something that can be deleted, replaced and told of. */
const furniture: readonly Operation[] = [
  {
    ...{ type: 'put image', name: 'n', version: '1', accept: 'json', place: 'query' },
    upload: { file: 'a.iso', content: 'isoA', framing: 'length', demand: 'none' },
  },
  {
    ...{ type: 'put file', store: 'common', accept: 'json', place: 'query' },
    upload: { file: 'a.iso', content: 'byte', framing: 'length', demand: 'none' },
  },
];

t.test(`whatever bytes come, the service goes on and says what is wrong, with the seed ${seed}`, async (t) => {
  const stage = new Stage();
  t.teardown(() => stage.close());
  const property = fc.asyncProperty(fc.array(hostileBytes, { minLength: 1, maxLength: 20, size: 'max' }), (all) =>
    stage.use(async (player) => {
      for (const operation of furniture) await player.play(operation);
      let before = await listsAtRest(player);
      for (const sent of all) {
        const successes = await talkHostile(player, sent);
        if (!player.isAlive) throw new Error(`It has ended after ${JSON.stringify(sent)}`);
        const after = await listsAtRest(player);
        const changes = changesOf(before, after);
        // A replaced file goes and comes, and with it what its images say.
        if (changes.length > successes * 4)
          player.problems.push(`${JSON.stringify(sent.slice(0, 1500))}: ${changes.join('; ')}`);
        if (player.problems.length > 0) return;
        before = after;
      }
      await player.clear();
    }),
  );
  await holds(t, property, runs * 2);
  await stage.use((player) => player.rest());
  t.comment(`seed ${seed}: ${stage.requests} requests`);
});
