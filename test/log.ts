import t from 'tap';
import { createLog } from '../lib/log.js';

function lines(minLevel: number): string[] {
  const written: string[] = [];
  const log = createLog(minLevel, (line) => written.push(line));
  log.debug('d');
  log.info('i');
  log.warning('w');
  log.error('e');
  log.critical('c');
  return written.map((line) => line.split(/\s+/)[1] ?? '');
}

t.test('minLogLevel 0 prints everything, 4 only critical errors, 5 nothing', (t) => {
  t.same(lines(0), ['debug', 'info', 'warning', 'error', 'critical']);
  t.same(lines(2), ['warning', 'error', 'critical']);
  t.same(lines(4), ['critical']);
  t.same(lines(5), []);
  t.end();
});

t.test('an event is one line, whatever a client put into it', (t) => {
  const written: string[] = [];
  createLog(0, (line) => written.push(line)).info('GET /a\r\n2026 error forged \u001b[2J\u2028');
  t.equal(written.length, 1);
  t.match(written[0], /^\S+Z info {5}GET \/a\\u000d\\u000a2026 error forged \\u001b\[2J\\u2028\n$/);
  t.end();
});

t.test('as JSON an event is one object a line with time, level and message, and no control character', (t) => {
  const written: string[] = [];
  const log = createLog(1, (line) => written.push(line), 'json');
  log.debug('not this');
  log.warning('GET /a"\r\n \u001b[2J\u0085\u007f\u2028 \ud800 ü');
  t.equal(written.length, 1);
  const [line = ''] = written;
  t.match(line, /^\{"time":"\d{4}-\d\d-\d\dT[\d:.]+Z","level":"warning","message":".*"\}\n$/);
  t.notMatch(line.trimEnd(), /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/);
  t.match(JSON.parse(line), { level: 'warning', message: 'GET /a"\r\n \u001b[2J\u0085\u007f\u2028 \ud800 ü' });
  t.end();
});
