import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { Metrics } from '../../lib/observe/metrics.js';
import type { State } from '../../lib/observe/gauges.js';
import { needTools } from '../fixtures/iso-tools.js';
import { emptyReport, idleState, valuesOf } from '../fixtures/metrics.js';

function start(...names: string[]) {
  const images = new Set(names);
  return { images, metrics: new Metrics(() => images) };
}

async function values(metrics: Metrics, state: State = idleState): Promise<ReadonlyMap<string, number>> {
  return valuesOf((await metrics.render(state)).text);
}

t.test('what promtool checks holds', async (t) => {
  if (!(await needTools(t, 'promtool'))) return;
  const { metrics } = start('a/1');
  metrics.counters.add({ ...emptyReport, requests: [['image', 200, 3]], sent: [['image', 'a/1', 10]] }, true);
  metrics.counters.received('iso', 'a/1', 10);
  metrics.counters.uploadFailed('NO_SPACE');
  metrics.counters.downloadFailed('BAD_GATEWAY');
  const { text } = await metrics.render(idleState);
  const child = spawn('promtool', ['check', 'metrics'], { stdio: ['pipe', 'pipe', 'pipe'] });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stdin.end(text);
  const [code] = (await once(child, 'close')) as [number];
  t.equal(said, '');
  t.equal(code, 0);
});

t.test('the format is the text format of Prometheus, and every metric says what it is', async (t) => {
  const { type, text } = await start().metrics.render(idleState);
  t.match(type, /^text\/plain; version=0\.0\.4/);
  const names = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name);
  const helped = [...text.matchAll(/^# HELP (\S+) \S+ \S+ .+\.$/gm)].map(([, name]) => name);
  const own = names.filter((name) => name?.startsWith('image_service_'));
  t.ok(own.length > 10);
  t.same(
    own.filter((name) => !helped.includes(name)),
    [],
  );
  t.ok(names.includes('process_cpu_seconds_total'));
  t.ok(names.includes('nodejs_eventloop_lag_p99_seconds'));
});

t.test('two services of one process count for themselves', async (t) => {
  const [one, other] = [start().metrics, start().metrics];
  one.counters.uploadFailed('NO_SPACE');
  await one.render(idleState);
  const series = 'image_service_upload_failures_total{reason="NO_SPACE"}';
  t.equal((await values(one)).get(series), 1);
  t.equal((await values(other)).get(series), undefined);
});
