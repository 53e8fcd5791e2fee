/** The service on free ports, for the benchmark of uploads: `upload-server.js FOLDER [without]`, without digests. */
import { join } from 'node:path';
import { readConfig } from '../../lib/config.js';
import { Hashing } from '../../lib/images/hashing.js';
import { createLog } from '../../lib/log.js';
import { startService } from '../../lib/service.js';

const [folder = '', digests] = process.argv.slice(2);
if (digests === 'without') {
  Hashing.prototype.open = () => ({
    update: () => Promise.resolve(),
    digest: () => Promise.resolve({ sha256: '' }),
    discard: () => undefined,
  });
}
const endpoint = (routers: string) => ({ address: '127.0.0.1', port: 0, routers });
const settings = {
  httpEndpoints: [endpoint('northbound'), endpoint('southbound')],
  httpFileServiceRootDir: join(folder, 'static'),
  isoDir: join(folder, 'static/iso'),
  microkernelDir: join(folder, 'static/common'),
  inventoryFile: join(folder, 'inventory.json'),
};
const config = readConfig(JSON.stringify(settings), folder, {}, 'config.json');
const service = await startService(
  config,
  '0',
  createLog(5, () => undefined),
);
process.stdout.write(`${service.endpoints[0]?.port ?? 0}\n`);
process.once('SIGTERM', () => void service.stop());
