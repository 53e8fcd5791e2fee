/**
 * How fast an upload of 1 GiB arrives over loopback, beside nginx's dav module and beside ourselves without digests, in
 * turns; then how much memory ten uploads at once take. Run it as `node dist/test/bench/upload.js [FOLDER]`, with a
 * folder on the file system that is to be measured (/dev/shm unless given); it needs curl, nginx and 12 GiB there.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeOptions, run } from '../fixtures/process.js';
import { freePort, machine, print, spread } from './setup.js';

const bytes = 2 ** 30;
const rounds = 7;
/** Megabytes, and shares. */
const memoryLimit = 120;
const wantedRatio = 2;
const digestCost = 0.1;

interface Server {
  readonly child: ChildProcess;
  /** Where a file of this name is put. */
  url(name: string): string;
}

async function startOurs(folder: string, digests: 'with' | 'without'): Promise<Server> {
  const own = join(folder, digests);
  await mkdir(own);
  const script = fileURLToPath(new URL('upload-server.js', import.meta.url));
  const child = spawn(process.execPath, [...nodeOptions, script, own, digests], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = (await once(child.stdout, 'data')) as [Buffer];
  return { child, url: (name) => `http://127.0.0.1:${Number(line)}/iso?name=${name}` };
}

async function startNginx(folder: string): Promise<Server> {
  const own = join(folder, 'nginx');
  await mkdir(join(own, 'root'), { recursive: true });
  await mkdir(join(own, 'body'));
  const port = await freePort();
  const temporary = ['proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${own}/${kind};`).join(' ');
  // Its own defaults, but for what it needs to take such a file without root.
  const config = `
    daemon off; pid ${own}/pid; error_log ${own}/error.log; worker_processes 1;
    events { worker_connections 100; }
    http {
      access_log off; client_body_temp_path ${own}/body; client_max_body_size 0; ${temporary}
      server { listen 127.0.0.1:${port}; root ${own}/root; location / { dav_methods PUT; } }
    }`;
  await writeFile(join(own, 'nginx.conf'), config);
  const user = process.getuid?.() === 0 ? ['-g', 'user root;'] : [];
  const child = spawn('nginx', ['-c', join(own, 'nginx.conf'), ...user], { stdio: 'inherit' });
  const server = { child, url: (name: string) => `http://127.0.0.1:${port}/${name}` };
  for (let attempt = 0; attempt < 100; attempt++) {
    if ((await run('curl', ['-s', '-o', '/dev/null', '--noproxy', '*', server.url('')])).code === 0) return server;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('nginx does not answer');
}

async function put(server: Server, file: string, name: string): Promise<number> {
  const began = performance.now();
  // Without Expect: both would be a round trip slower.
  const { code, stderr } = await run('curl', [
    ...['-fsS', '--noproxy', '*', '-H', 'Expect:', '-o', '/dev/null', '-T', file],
    server.url(name),
  ]);
  if (code !== 0) throw new Error(`curl exits with ${String(code)}: ${stderr}`);
  return bytes / ((performance.now() - began) / 1000) / 1e9;
}

async function peak(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? NaN) / 1000;
}

function say(holds: boolean, line: string): void {
  print(`${holds ? 'Holds' : 'FAILS'}: ${line}`);
  if (!holds) process.exitCode = 1;
}

async function measure(folder: string, servers: Record<'ours' | 'nginx' | 'bare', Server>): Promise<void> {
  const file = join(folder, 'file');
  await writeFile(file, '');
  await truncate(file, bytes);
  const figures = { ours: [] as number[], nginx: [] as number[], bare: [] as number[] };
  const names = ['ours', 'nginx', 'bare'] as const;
  for (let round = 0; round < rounds; round++) {
    for (const name of names) figures[name].push(await put(servers[name], file, 'file'));
  }
  const [ours, nginx, bare] = names.map((name) => spread(figures[name]).median) as [number, number, number];
  const speed = (figure: number) => `${figure.toFixed(2)} GB/s`;
  print(`PUT of ${bytes} bytes, median of ${rounds}: ours ${speed(ours)}, nginx dav ${speed(nginx)}`);
  say(ours >= wantedRatio * nginx, `${(ours / nginx).toFixed(2)} times nginx, where ${wantedRatio} are wanted.`);
  const cost = 1 - ours / bare;
  print(`without digests: ${speed(bare)}`);
  say(cost < digestCost, `the digest costs ${(cost * 100).toFixed(0)} %, where ${digestCost * 100} % are allowed.`);
  await Promise.all(Array.from({ length: 10 }, (_, index) => put(servers.ours, file, `file${index}`)));
  const memory = await peak(servers.ours.child.pid ?? 0);
  say(memory < memoryLimit, `${memory.toFixed(0)} MB with ten at once, where ${memoryLimit} MB are allowed.`);
}

const folder = await mkdtemp(join(process.argv[2] ?? '/dev/shm', 'image-service-bench-'));
const children: ChildProcess[] = [];
try {
  print(machine());
  const ours = await startOurs(folder, 'with');
  children.push(ours.child);
  const bare = await startOurs(folder, 'without');
  children.push(bare.child);
  const nginx = await startNginx(folder);
  children.push(nginx.child);
  await measure(folder, { ours, nginx, bare });
} finally {
  for (const child of children) child.kill('SIGTERM');
  await Promise.all(children.filter(({ exitCode }) => exitCode === null).map((child) => once(child, 'close')));
  await rm(folder, { recursive: true, force: true });
}
