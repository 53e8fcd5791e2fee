import t from 'tap';
import { Speed } from '../../lib/http/speed.js';

/** Writes: bytes and the milliseconds that they took. */
type Writes = readonly (readonly [bytes: number, milliseconds: number])[];

const burst: Writes = Array.from({ length: 10 }, () => [100_000, 0]);

t.test('a client is slow by the time that it takes over its bytes, long waits included', (t) => {
  const cases: [what: string, writes: Writes, isSlow: boolean][] = [
    ['nothing is known yet', [], false],
    ['at once', [[64_000, 0]], false],
    ['one wait that says nothing', [[64_000, 90]], false],
    ['64 KB a second', [[64_000, 1000]], true],
    ['a fast line', [[500_000, 150], [500_000, 150]], false],
    ['megabytes into the buffers of the kernel, then a long wait', [...burst, [500_000, 20_000]], true],
    ['room in those buffers after the wait does not make it fast', [[500_000, 20_000], ...burst], true],
    ['a pause, and then many bytes', [[500_000, 5000], ...burst, ...burst], false],
    ['fast, and slow in the end', [...burst, ...burst, [16_000, 500], [16_000, 20_000]], true],
  ]; // prettier-ignore
  for (const [what, writes, isSlow] of cases) {
    const speed = new Speed();
    for (const [bytes, milliseconds] of writes) speed.add(bytes, milliseconds);
    t.equal(speed.isSlow, isSlow, what);
  }
  t.end();
});
