import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ask, json } from '../fixtures/client.js';
import { installPacked, root } from '../fixtures/packed.js';
import { temporaryFolder } from '../fixtures/service.js';
import { waitFor } from '../fixtures/wait.js';

const project = await installPacked(await temporaryFolder(t));

t.test('the package has the program, its types, configuration and documents, and nothing else', (t) => {
  const allowed =
    /^(?:dist\/lib\/.+(?:\.js|\.js\.map|\.d\.ts)|etc\/.+|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/;
  t.same(
    project.files.filter((file) => !allowed.test(file)),
    [],
  );
  const needed = ['index.js', 'index.d.ts', 'main.js', 'workers/worker.js', 'images/hash-worker.js'];
  for (const file of [...needed.map((name) => `dist/lib/${name}`), 'etc/config.json', 'README.md', 'LICENSE']) {
    t.ok(project.files.includes(file), file);
  }
  t.end();
});

t.test('every source map leads to its source, which it holds', async (t) => {
  const scripts = project.files.filter((file) => file.endsWith('.js'));
  t.ok(scripts.length > 100);
  for (const file of scripts) {
    const map = /\n\/\/# sourceMappingURL=(\S+)\s*$/.exec(await readFile(join(project.installed, file), 'utf8'))?.[1];
    const text = await readFile(join(project.installed, file, '..', map ?? ''), 'utf8');
    const { sources, sourcesContent } = JSON.parse(text) as { sources: string[]; sourcesContent?: string[] };
    const [source = ''] = sources;
    const expected = await readFile(join(root, file, '..', source), 'utf8');
    if (sourcesContent?.[0] !== expected) t.fail(file);
  }
});

t.test('the example of the README runs as it is written, and the program ends by itself', async (t) => {
  const readme = await readFile(join(project.installed, 'README.md'), 'utf8');
  const [, example = ''] = /^```js\n(import \{ createService \}.*?)^```/ms.exec(readme) ?? [];
  await writeFile(join(project.folder, 'example.js'), example);
  const ended = await project.run(process.execPath, 'example.js');
  t.match(ended, { code: 0, signal: null, stdout: 'Hello, machines!\n\n', stderr: / info +northbound on / });
  t.match(ended.stderr, / info +southbound on /);
  t.equal(await readFile(join(project.folder, 'images/static/common/hello'), 'utf8'), 'Hello, machines!\n');
});

t.test('it runs in a program that comes from the command line, with worker processes', async (t) => {
  const program = `
    import { createService } from 'image-service';
    const endpoint = (routers) => ({ address: '127.0.0.1', port: 0, routers });
    const httpEndpoints = [endpoint('northbound'), endpoint('southbound')];
    const service = createService({ httpEndpoints, southboundWorkers: 1 }, { root: 'evaluated' });
    await service.start();
    const { status } = await fetch('http://127.0.0.1:' + service.endpoints[1].port + '/');
    await service.stop();
    console.log(status);`;
  // Options of Node that a worker could not start with.
  const ended = await project.run(process.execPath, '--input-type=module', '--eval', program);
  t.match(ended, { code: 0, stdout: '200\n', stderr: '' });
});

t.test('the inside of the package is not to be imported', async (t) => {
  const program = "import 'image-service/dist/lib/service.js'";
  const ended = await project.run(process.execPath, '--input-type=module', '--eval', program);
  t.match(ended, { code: 1, stderr: 'ERR_PACKAGE_PATH_NOT_EXPORTED' });
});

const consumer = `
import {
  type Config, createService, type Endpoint, type EndpointSettings, type Environment, type ErrorCode, type ImageService,
  type Router, ServiceError, type ServiceOptions, type Settings, type TlsFiles,
} from 'image-service';

const endpoint: EndpointSettings = { address: '127.0.0.1', port: 0, routers: ['northbound', 'southbound'] };
const tls: TlsFiles = { cert: 'a.pem', key: 'a.key' };
const environment: Environment = { IMAGE_SERVICE_MIN_LOG_LEVEL: '1', NOTHING: undefined };
const options: ServiceOptions = { root: '.', environment, log: (line: string) => void line.length };
const settings: Settings = {
  httpEndpoints: [endpoint, { ...endpoint, port: 443, routers: 'northbound', tls }],
  isoWebHosts: null,
  southboundAllow: ['10.0.0.0/8'],
  southboundWorkers: null,
  user: 65534,
  rateLimit: undefined,
  logFormat: 'json',
  mount: { driver: 'direct', maxEntries: 5000 },
};

export async function use(): Promise<readonly Endpoint[]> {
  const service: ImageService = createService(settings, options);
  try {
    await service.start();
    const waiting: readonly string[] = await service.reload({ ...settings, rateLimit: 5 });
    const routers: readonly Router[] = service.endpoints[0]?.routers ?? [];
    return waiting.length + routers.length > 0 ? service.endpoints : [];
  } catch (error) {
    const code: ErrorCode | undefined = error instanceof ServiceError ? error.code : undefined;
    throw new Error(code);
  } finally {
    await service.stop();
  }
}

export const keys: (keyof Config)[] = ['isoDir'];
createService();
// @ts-expect-error an unknown key
createService({ isoDirr: 'x' });
// @ts-expect-error a wrong type
createService({ rateLimit: '5' });
// @ts-expect-error not one of the words
createService({ logFormat: 'xml' });
// @ts-expect-error not one of the drivers
createService({ mount: { driver: 'magic' } });
// @ts-expect-error no router
createService({ httpEndpoints: [{ address: '::', port: 0, routers: 'eastbound' }] });
// @ts-expect-error null is no number of bytes
createService({ chunkCache: null });
`;

t.test('its types hold for a strict program, and refuse what the service would refuse', async (t) => {
  // Nothing but the language: a program need not have the types of Node.
  const compilerOptions = { module: 'nodenext', target: 'es2022', lib: ['es2022'], types: [], noEmit: true };
  const strict = {
    strict: true,
    skipLibCheck: false,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
  };
  const configuration = { compilerOptions: { ...compilerOptions, ...strict }, files: ['consumer.ts'] };
  await writeFile(join(project.folder, 'tsconfig.json'), JSON.stringify(configuration));
  await writeFile(join(project.folder, 'consumer.ts'), consumer);
  const compiler = join(root, 'node_modules/typescript/bin/tsc');
  t.match(await project.run(process.execPath, compiler, '-p', 'tsconfig.json'), { code: 0, stdout: '' });
});

t.test('the command runs, by its name', async (t) => {
  const command = join(project.folder, 'node_modules/.bin/image-service');
  const { version } = JSON.parse(await readFile(join(project.installed, 'package.json'), 'utf8')) as {
    version: string;
  };
  t.match(await project.run(command, '--version'), { code: 0, stdout: `${version}\n`, stderr: '' });
  const printed = await project.run(command, '--print-config');
  t.match(JSON.parse(printed.stdout), { minLogLevel: 1, isoDir: join(project.installed, 'static/iso') });
  const endpoint = (routers: string) => ({ address: '127.0.0.1', port: 0, routers });
  const config = join(project.folder, 'config.json');
  const httpEndpoints = [endpoint('northbound'), endpoint('southbound')];
  await writeFile(config, JSON.stringify({ httpEndpoints }));
  const child = spawn(command, ['--config', config], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const closed = once(child, 'close');
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const portOf = (router: string) => new RegExp(`${router} on 127\\.0\\.0\\.1 port (\\d+)`).exec(output)?.[1];
  await waitFor('its ports', () => portOf('southbound') !== undefined);
  t.same(json(await ask(`http://127.0.0.1:${portOf('northbound') ?? ''}`, '/images')), []);
  child.kill('SIGTERM');
  t.same(await closed, [0, null]);
});
