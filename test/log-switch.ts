import t from 'tap';
import { createLog, levels } from '../lib/log.js';
import { LogSwitch } from '../lib/log-switch.js';

function setUp(minLevel: number) {
  const lines: string[] = [];
  const state = { closed: 0 };
  const close = () => {
    state.closed++;
    return Promise.resolve();
  };
  return { lines, state, open: { log: createLog(minLevel, (line) => lines.push(line)), close } };
}

t.test('what is logged goes to the log of the moment, also through a function that was taken before', async (t) => {
  const [first, second] = [setUp(0), setUp(2)];
  const log = new LogSwitch(first.open);
  const { debug, info, warning, error, critical } = log.log;
  for (const level of levels) log[level](`one ${level}`);
  t.equal(first.lines.length, levels.length);
  t.equal(first.state.closed, 0);
  await log.use(second.open);
  t.equal(first.state.closed, 1);
  for (const write of [debug, info, warning, error, critical]) write('two');
  t.equal(first.lines.length, levels.length, 'nothing more goes to the first');
  t.match(second.lines, [/ warning +two\n$/, / error +two\n$/, / critical +two\n$/]);
  t.equal(second.lines.length, 3);
});

t.test('with it the log of the moment is closed', async (t) => {
  const [first, second] = [setUp(0), setUp(0)];
  const log = new LogSwitch(first.open);
  await log.use(second.open);
  await log.close();
  t.same([first.state, second.state], [{ closed: 1 }, { closed: 1 }]);
});
