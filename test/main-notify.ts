import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import t from 'tap';
import { createNotifier } from '../lib/main-notify.js';
import { needTools } from './fixtures/iso-tools.js';
import { startProcess } from './fixtures/process.js';
import { keepLog } from './fixtures/child-mounts.js';
import { isInstalled } from './fixtures/installed.js';
import { temporaryFolder } from './fixtures/service.js';
import { waitFor } from './fixtures/wait.js';

/** What is told, in order; each message arrives only when the test lets it. */
function collect() {
  const told: string[] = [];
  const arrivals: (() => void)[] = [];
  const send = (assignment: string) => {
    told.push(assignment);
    return new Promise<void>((resolve) => arrivals.push(resolve));
  };
  return { told, send, arrive: () => arrivals.shift()?.() };
}

t.test('where nobody asked to be told, nothing is', async (t) => {
  const { told, send } = collect();
  const manager = createNotifier({ WATCHDOG_USEC: '1000' }, keepLog().log, send);
  manager.ready();
  void manager.stopping();
  await new Promise((resolve) => setImmediate(resolve));
  t.same(told, []);
});

t.test('what is told later arrives later', async (t) => {
  const { told, send, arrive } = collect();
  const manager = createNotifier({ NOTIFY_SOCKET: '/x' }, keepLog().log, send);
  manager.ready();
  void manager.stopping();
  await waitFor('the first', () => told.length > 0);
  t.same(told, ['READY=1']);
  arrive();
  await waitFor('the second', () => told.length > 1);
  t.same(told, ['READY=1', 'STOPPING=1']);
});

t.test('a watchdog that waits for another process gets no signs of life', async (t) => {
  const told: string[] = [];
  const send = (assignment: string) => Promise.resolve(told.push(assignment));
  const environment = { NOTIFY_SOCKET: '/x', WATCHDOG_USEC: '2000' };
  createNotifier({ ...environment, WATCHDOG_PID: '1' }, keepLog().log, send).ready();
  const ours = collect();
  createNotifier({ ...environment, WATCHDOG_PID: String(process.pid) }, keepLog().log, ours.send).ready();
  await waitFor('readiness', () => ours.told.length === 1);
  ours.arrive();
  await waitFor('a sign of life', () => ours.told.includes('WATCHDOG=1'));
  t.same(told, ['READY=1']);
});

t.test('that it cannot be told is said in the log, and the next message is tried', async (t) => {
  const { log, lines } = keepLog();
  const manager = createNotifier({ NOTIFY_SOCKET: '/x' }, log, () => Promise.reject(new Error('no such program')));
  manager.ready();
  void manager.stopping();
  await waitFor('both', () => lines.length === 2);
  t.match(lines, [/error .*systemd-notify READY=1: no such program/, /error .*systemd-notify STOPPING=1/]);
});

const receiver = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
while True: print(s.recv(4096).decode(), flush=True)
`;

t.test('the program tells systemd when it serves, that it lives, and when it stops', async (t) => {
  if (!(await needTools(t, 'systemd-notify', 'python3'))) return;
  const folder = await temporaryFolder(t);
  const socket = join(folder, 'notify');
  const python = spawn('python3', ['-c', receiver, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.teardown(() => python.kill());
  let told = '';
  python.stdout.on('data', (chunk: Buffer) => (told += chunk.toString()));
  await waitFor('the socket', () => isInstalled(socket));
  process.env['NOTIFY_SOCKET'] = socket;
  process.env['WATCHDOG_USEC'] = '200000';
  t.teardown(() => {
    delete process.env['NOTIFY_SOCKET'];
    delete process.env['WATCHDOG_USEC'];
  });
  const program = await startProcess(t, folder);
  await waitFor('two signs of life', () => told.split('WATCHDOG=1').length > 2);
  t.match(told, /^READY=1\n/);
  const ended = once(program.child, 'close');
  program.child.kill('SIGTERM');
  await ended;
  await waitFor('the last message', () => told.includes('STOPPING=1'));
  t.ok(told.lastIndexOf('STOPPING=1') > told.indexOf('READY=1'));
});
