import { Registry } from 'prom-client';
import t from 'tap';
import { Gauges } from '../../lib/observe/gauges.js';
import { idleState, valuesOf } from '../fixtures/metrics.js';

t.test('what goes up and down is shown as it is at the moment', async (t) => {
  const registry = new Registry();
  const gauges = new Gauges(registry);
  const values = async () => Object.fromEntries(valuesOf(await registry.metrics()));
  gauges.set({
    images: { OK: 2, failed: 1 },
    stores: { iso: { free: 10, used: 3 }, microkernel: { free: 11, used: 4 } },
    transfers: { upload: 1, download: 2, send: 3 },
    connections: 5,
    workers: { count: 2, memory: 1000 },
    lags: { main: 0.5, workers: 0.25 },
    version: '1.2.3',
  });
  t.match(await values(), {
    'image_service_images{status="OK"}': 2,
    'image_service_images{status="failed"}': 1,
    'image_service_store_free_bytes{store="iso"}': 10,
    'image_service_store_used_bytes{store="microkernel"}': 4,
    'image_service_transfers_in_progress{direction="download"}': 2,
    image_service_connections: 5,
    image_service_workers: 2,
    image_service_worker_resident_memory_bytes: 1000,
    'image_service_event_loop_lag_seconds{process="main"}': 0.5,
    'image_service_build_info{version="1.2.3"}': 1,
  });
  gauges.set({ ...idleState, stores: { iso: { free: 9, used: 3 } } });
  const later = await values();
  t.equal(later['image_service_store_free_bytes{store="iso"}'], 9);
  t.notOk('image_service_store_free_bytes{store="microkernel"}' in later, 'a store whose disk has gone');
});
