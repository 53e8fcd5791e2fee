import t from 'tap';
import { ask, json } from '../fixtures/client.js';
import { metricsOf } from '../fixtures/metrics.js';
import { startTestService } from '../fixtures/service.js';

t.test('the metrics are text for Prometheus that nobody keeps', async (t) => {
  const { north } = await startTestService(t);
  const { status, headers, text } = await ask(north, '/metrics');
  t.equal(status, 200);
  t.match(headers, { 'content-type': /^text\/plain; version=0\.0\.4/, 'cache-control': 'no-store' });
  t.match(text, /^image_service_images\{status="OK"\} 0$/m);
  const asked = await ask(north, '/metrics?x=1');
  t.equal(asked.status, 400);
  t.match(json(asked), { code: 'BAD_REQUEST' });
  t.equal((await ask(north, '/metrics', { method: 'PUT' })).headers.allow, 'GET, HEAD, OPTIONS');
});

t.test('a path never becomes a label', async (t) => {
  const { north, south } = await startTestService(t);
  for (const path of ['/secret-1', '/images/secret-2', '/iso/secret-3', '/common/secret-4', '/%zz']) {
    await ask(north, path);
    await ask(south, path);
  }
  const values = await metricsOf(north);
  t.notOk([...values.keys()].some((series) => series.includes('secret')));
  t.equal(values.get('image_service_http_requests_total{route="/images/:id",status="404"}'), 1);
  for (const route of ['iso', 'common']) {
    t.equal(values.get(`image_service_http_requests_total{route="${route}",status="404"}`), 1, route);
  }
  t.equal(values.get('image_service_http_requests_total{route="root",status="404"}'), 2);
});
