import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { DigestQueue } from '../../lib/images/digest-queue.js';
import { createLog } from '../../lib/log.js';

interface Setup {
  readonly queue: DigestQueue;
  /** The names in the order in which their digests began. */
  readonly begun: string[];
  /** Ends the digest that is being computed. */
  readonly end: (error?: Error) => Promise<void>;
  readonly logged: string[];
}

function setUp(): Setup {
  const begun: string[] = [];
  const logged: string[] = [];
  let finish: (error?: Error) => void = () => undefined;
  const hash = (name: string, signal: AbortSignal) => {
    begun.push(name);
    return new Promise<void>((resolve, reject) => {
      finish = (error) => (error === undefined ? resolve() : reject(error));
      signal.addEventListener('abort', () => reject(new Error('aborted')));
    });
  };
  const end = async (error?: Error) => {
    finish(error);
    await turn();
  };
  return {
    queue: new DigestQueue(
      hash,
      createLog(0, (line) => logged.push(line)),
    ),
    begun,
    end,
    logged,
  };
}

t.test('digests are computed one at a time, in order, each once', async (t) => {
  const { queue, begun, end, logged } = setUp();
  for (const name of ['b', 'a', 'b', 'c', 'a']) queue.add(name);
  await turn();
  t.same(begun, ['b']);
  queue.add('b');
  await end();
  t.same(begun, ['b', 'a']);
  await end();
  await end();
  t.same(begun, ['b', 'a', 'c']);
  await end();
  t.same(begun, ['b', 'a', 'c']);
  t.same(logged, []);
});

t.test('a file that has changed can be added again', async (t) => {
  const { queue, begun, end } = setUp();
  queue.add('a');
  await turn();
  await end();
  queue.add('a');
  await turn();
  t.same(begun, ['a', 'a']);
});

t.test('a digest that fails is logged, and the next one is computed', async (t) => {
  const { queue, begun, end, logged } = setUp();
  queue.add('a');
  queue.add('b');
  await turn();
  await end(new Error('the disk is broken'));
  t.same(begun, ['a', 'b']);
  t.equal(logged.length, 1);
  t.match(logged[0], /warning +The digest of a could not be computed: the disk is broken\n$/);
});

t.test('a failure before anything began is one like the others', async (t) => {
  const logged: string[] = [];
  const hash = () => {
    throw new Error('at once');
  };
  const queue = new DigestQueue(
    hash,
    createLog(0, (line) => logged.push(line)),
  );
  queue.add('a');
  await turn();
  t.match(logged.join(''), /The digest of a could not be computed: at once/);
});

t.test('stopping ends what is being computed, silently, and nothing follows', async (t) => {
  const { queue, begun, logged } = setUp();
  queue.add('a');
  queue.add('b');
  await turn();
  queue.stop();
  queue.add('c');
  await turn();
  t.same(begun, ['a']);
  t.same(logged, []);
  queue.stop();
});
