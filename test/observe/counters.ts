import { Registry } from 'prom-client';
import t from 'tap';
import { Counters } from '../../lib/observe/counters.js';
import { emptyReport, valuesOf } from '../fixtures/metrics.js';

function start(...names: string[]) {
  const images = new Set(names);
  const registry = new Registry();
  const counters = new Counters(registry, () => images);
  const values = async () => Object.fromEntries(valuesOf(await registry.metrics()));
  return { images, counters, values };
}

t.test('reports of all processes add up', async (t) => {
  const { counters, values } = start('a/1');
  const report = { ...emptyReport, processor: 0.5 };
  counters.add({ ...report, requests: [['image', 206, 3]], sent: [['image', 'a/1', 100]] }, true);
  counters.add({ ...report, requests: [['image', 206, 4]], sent: [['image', 'a/1', 11]] }, true);
  counters.add({ ...report, requests: [['/images', 200, 1]] }, false);
  t.match(await values(), {
    'image_service_http_requests_total{route="image",status="206"}': 7,
    'image_service_http_requests_total{route="/images",status="200"}': 1,
    'image_service_sent_bytes_total{image="a/1",store="iso"}': 111,
    image_service_worker_cpu_seconds_total: 1,
  });
});

t.test('each route of the file server has its store', async (t) => {
  const { counters, values } = start();
  const sent = ['iso', 'common', 'root'].map((route, index) => [route, undefined, index + 1] as const);
  counters.add({ ...emptyReport, sent }, true);
  t.match(await values(), {
    'image_service_sent_bytes_total{image="none",store="iso"}': 1,
    'image_service_sent_bytes_total{image="none",store="microkernel"}': 2,
    'image_service_sent_bytes_total{image="none",store="none"}': 3,
  });
});

t.test('an image that there is not is no label', async (t) => {
  const { counters, values } = start('a/1');
  counters.add({ ...emptyReport, sent: [['image', 'b/1', 5]] }, true);
  counters.received('iso', 'b/1', 6);
  counters.received('iso', undefined, 7);
  t.match(await values(), {
    'image_service_sent_bytes_total{image="none",store="iso"}': 5,
    'image_service_received_bytes_total{image="none",store="iso"}': 13,
  });
});

t.test('the series of a deleted image go, and those of others stay', async (t) => {
  const { images, counters, values } = start('a/1', 'b/1');
  for (const image of ['a/1', 'b/1']) {
    counters.add({ ...emptyReport, sent: [['image', image, 5]] }, true);
    counters.received('iso', image, 5);
  }
  images.delete('a/1');
  counters.forget();
  const left = Object.keys(await values());
  t.notOk(left.some((series) => series.includes('a/1')));
  t.equal(left.filter((series) => series.includes('b/1')).length, 2);
});

t.test('failures are counted by their code', async (t) => {
  const { counters, values } = start();
  counters.uploadFailed('NO_SPACE');
  counters.uploadFailed('NO_SPACE');
  counters.downloadFailed('BAD_GATEWAY');
  t.match(await values(), {
    'image_service_upload_failures_total{reason="NO_SPACE"}': 2,
    'image_service_download_failures_total{reason="BAD_GATEWAY"}': 1,
  });
});
