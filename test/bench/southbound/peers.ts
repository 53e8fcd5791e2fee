import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ask, json } from '../../fixtures/client.js';
import { isInstalled } from '../../fixtures/installed.js';
import { nodeOptions, run, startProgram } from '../../fixtures/process.js';
import type { Later } from '../../fixtures/undo.js';
import { waitFor } from '../../fixtures/wait.js';
import { freePort, print } from '../setup.js';
import { compile } from './compile.js';
import { isoName, isoPrefix, plainPrefix, smallPath } from './files.js';

/** A server that runs. */
export interface Server {
  /** Of the process that all others of it are below. */
  readonly pid: number;
  readonly port: number;
}

export interface OurServer extends Server {
  readonly northPort: number;
}

/** A server and where the files are on it. */
export interface Contender {
  readonly name: string;
  readonly server: Server;
  readonly prefix: string;
  /** It is measured with a third of the requests: otherwise most of the time would go into it. */
  readonly isSlow: boolean;
}

export const ours = 'image-service';
export const oursInIso = 'image-service, inside an ISO';
/** A server that does nothing but copy (copying.c): no other to win against, but the limit of all that copy. */
export const copying = 'copying';
/** The same on Node (bare-node.ts). */
export const bareNode = 'bare Node';
/** As many Node processes as ours, which do nothing. */
export const idleNodes = 'idle Node processes';
const packages = ['send', 'sirv', 'serve-handler'] as const;

/** Starts a program that is stopped in the end. */
function launch(later: Later, command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'], ...options });
  const closed = once(child, 'close');
  later(async () => {
    child.kill('SIGTERM');
    await closed;
  });
  return child;
}

async function untilAnswering(name: string, port: number): Promise<void> {
  const url = `http://127.0.0.1:${port}`;
  await waitFor(`an answer of ${name}`, async () => {
    const answer = await ask(url, plainPrefix + smallPath(0)).catch(() => undefined);
    return answer?.status === 200;
  });
}

/**
 * Starts our service.
 * @param own folder of its state
 * @param folder holds `static`
 */
export async function startOurs(later: Later, own: string, folder: string, workers: number): Promise<OurServer> {
  await mkdir(own, { recursive: true });
  const service = await startProgram(own, {
    httpFileServiceRootDir: join(folder, 'static'),
    minLogLevel: 1,
    southboundWorkers: workers,
  });
  later(() => service.end('SIGTERM'));
  const [port, northPort] = [service.south, service.north].map((url) => Number(new URL(url).port));
  await untilAnswering(ours, port ?? 0);
  return { pid: service.child.pid ?? 0, port: port ?? 0, northPort: northPort ?? 0 };
}

/** Adds the image of the ISO, and waits until nothing more is computed of it. */
export async function addImage({ northPort }: OurServer): Promise<void> {
  const north = `http://127.0.0.1:${northPort}`;
  const url = `/images?name=disc&version=1&isostore=${isoName}`;
  const added = await ask(north, url, { method: 'PUT', headers: { prefer: 'wait=60' } });
  if (added.status !== 201) throw new Error(added.text);
  for (let second = 0; second < 60; second++) {
    const [file] = json(await ask(north, '/iso')) as { sha256?: string }[];
    if (file?.sha256 !== undefined) return;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  throw new Error('The ISO has no digest after a minute');
}

async function startNginx(later: Later, folder: string, workers: number): Promise<Server> {
  const own = join(folder, 'nginx');
  await mkdir(own);
  const port = await freePort();
  const kinds = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const temporary = kinds.map((kind) => `${kind}_temp_path ${own}/${kind};`).join(' ');
  // As Debian has it, but for connections that it would close, and places that need root.
  const config = `
    daemon off; pid ${own}/pid; error_log ${own}/error.log; worker_processes ${workers}; worker_rlimit_nofile 20000;
    events { worker_connections 8192; }
    http {
      sendfile on; tcp_nopush on; access_log off; keepalive_requests 1000000; ${temporary}
      server { listen 127.0.0.1:${port} backlog=4096; root ${folder}/static; }
    }`;
  await writeFile(join(own, 'nginx.conf'), config);
  const user = process.getuid?.() === 0 ? ['-g', 'user root;'] : [];
  const child = launch(later, 'nginx', ['-c', join(own, 'nginx.conf'), '-e', join(own, 'error.log'), ...user]);
  await untilAnswering('nginx', port);
  return { pid: child.pid ?? 0, port };
}

async function startCaddy(later: Later, folder: string): Promise<Server> {
  const own = join(folder, 'caddy');
  await mkdir(own);
  const port = await freePort();
  const route = { handle: [{ handler: 'file_server', root: join(folder, 'static') }] };
  const server = { listen: [`127.0.0.1:${port}`], routes: [route], automatic_https: { disable: true } };
  const config = {
    admin: { disabled: true, config: { persist: false } },
    logging: { logs: { default: { level: 'ERROR' } } },
    apps: { http: { servers: { files: server } } },
  };
  await writeFile(join(own, 'caddy.json'), JSON.stringify(config));
  const env = { ...process.env, HOME: own, XDG_CONFIG_HOME: own, XDG_DATA_HOME: own };
  // It talks at every start.
  const options: SpawnOptions = { env, stdio: 'ignore' };
  const child = launch(later, 'caddy', ['run', '--config', join(own, 'caddy.json')], options);
  await untilAnswering('caddy', port);
  return { pid: child.pid ?? 0, port };
}

/** Waits for a program that prints its port. */
async function untilPrinted(name: string, child: ChildProcess): Promise<Server> {
  const [line] = child.stdout === null ? [] : ((await once(child.stdout, 'data')) as [Buffer]);
  const port = Number(line);
  await untilAnswering(name, port);
  return { pid: child.pid ?? 0, port };
}

async function startPackage(later: Later, folder: string, name: string): Promise<Server> {
  const script = fileURLToPath(new URL('peer-server.js', import.meta.url));
  return untilPrinted(name, launch(later, process.execPath, [...nodeOptions, script, name, join(folder, 'static')]));
}

/**
 * Starts the servers that do nothing but copy.
 * @param paths files that they are to have in memory, as every server that keeps what is wanted often
 */
export async function startBounds(
  later: Later,
  folder: string,
  workers: number,
  paths: readonly string[],
): Promise<Contender[]> {
  const args = [String(workers), join(folder, 'static'), ...paths.map((path) => plainPrefix + path)];
  const script = fileURLToPath(new URL('bare-node.js', import.meta.url));
  const commands: [name: string, child: ChildProcess][] = [
    [copying, launch(later, await compile('copying', folder), args)],
    [bareNode, launch(later, process.execPath, [...nodeOptions, script, ...args])],
  ];
  const started = commands.map(async ([name, child]) => {
    return { name, server: await untilPrinted(name, child), prefix: plainPrefix, isSlow: false };
  });
  return Promise.all(started);
}

/** Starts Node processes that do nothing. @returns their ids, when all are there */
export async function startIdleNodes(later: Later, count: number): Promise<number[]> {
  const args = [...nodeOptions, '-e', 'process.stdout.write("idle\\n"); setInterval(() => 0, 1e9)'];
  const children = Array.from({ length: count }, () => launch(later, process.execPath, args));
  await Promise.all(children.map(async ({ stdout }) => stdout && once(stdout, 'data')));
  return children.map(({ pid }) => pid ?? 0);
}

/** Installs the packages beside the sources of the benchmark. @returns whether they are there */
async function install(): Promise<boolean> {
  const folder = fileURLToPath(new URL('../../../../test/bench/southbound/', import.meta.url));
  const present = await Promise.all(
    packages.map((name) => isInstalled(join(folder, 'node_modules', name, 'package.json'))),
  );
  if (!present.includes(false)) return true;
  const args = ['ci', '--no-progress', '--no-audit', '--no-fund', '--loglevel=error'];
  const { code, stderr } = await run('npm', args, { cwd: folder });
  if (code !== 0) print(`npm ci in test/bench/southbound fails: ${stderr.trim().split('\n')[0] ?? ''}`);
  return code === 0;
}

/** Starts every other server that is installed, and says which are not. */
export async function startPeers(later: Later, folder: string, workers: number): Promise<Contender[]> {
  const peers: Contender[] = [];
  const add = (name: string, server: Server, isSlow: boolean) =>
    peers.push({ name, server, prefix: plainPrefix, isSlow });
  if (await isInstalled('nginx')) add('nginx', await startNginx(later, folder, workers), false);
  else print('Left out: nginx is not installed');
  if (await isInstalled('caddy')) add('caddy', await startCaddy(later, folder), false);
  else print('Left out: caddy is not installed');
  if (await install()) for (const name of packages) add(name, await startPackage(later, folder, name), true);
  else print(`Left out: ${packages.join(', ')} cannot be installed`);
  return peers;
}

/** Our own server as it is measured: the same files twice. */
export function ourContenders(server: Server, hasIso: boolean): Contender[] {
  const plain = { name: ours, server, prefix: plainPrefix, isSlow: false };
  return hasIso ? [plain, { name: oursInIso, server, prefix: isoPrefix, isSlow: false }] : [plain];
}
