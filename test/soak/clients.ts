import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Connection } from '../fixtures/connection.js';
import type { Random } from '../fixtures/random.js';
import { type Expected, places } from './content.js';
import { Cut, read } from './reading.js';

/** What a client needs to know. */
export interface World {
  readonly south: string;
  readonly files: readonly Expected[];
  /** Connections that are kept and shared by many clients. */
  readonly shared: Agent;
}

/** Does what a client does, once. Throws what is wrong with the answers. */
export type Client = (world: World, random: Random) => Promise<void>;

interface Choice {
  readonly path: string;
  readonly bytes: Buffer;
}

function pick({ files }: World, random: Random, least = 0, most = Infinity): Choice {
  const fitting = files.filter(({ bytes }) => bytes.length >= least && bytes.length <= most);
  const file = fitting[random.below(fitting.length)];
  if (file === undefined) throw new Error(`No file has ${least} to ${most} bytes`);
  return { path: `${random.pick(places)}/${file.name}`, bytes: file.bytes };
}

function agentOf({ shared }: World, random: Random): { agent?: Agent } {
  return random.below(2) === 0 ? { agent: shared } : {};
}

const whole: Client = async (world, random) => {
  const { path, bytes } = pick(world, random);
  await read({ base: world.south, path, status: 200, body: bytes, ...agentOf(world, random) });
};

const slow: Client = async (world, random) => {
  const { path, bytes } = pick(world, random, 100_000, 4_000_000);
  const rate = 30_000 + random.below(1_000_000);
  // At most some seconds of it, as one who gives up: the rest is the next one's.
  const length = Math.min(bytes.length, rate * 4);
  const headers = { range: `bytes=0-${length - 1}` };
  await read({ base: world.south, path, headers, status: 206, body: bytes.subarray(0, length), rate });
};

/** A range as it is asked for, and its bytes. */
type Slice = readonly [string, Buffer];

const range: Client = async (world, random) => {
  const { path, bytes } = pick(world, random, 1);
  const start = random.below(bytes.length);
  const end = start + random.below(bytes.length - start);
  const suffix = 1 + random.below(bytes.length);
  const choices: readonly [Slice, Slice, Slice] = [
    [`${start}-${end}`, bytes.subarray(start, end + 1)],
    [`${start}-`, bytes.subarray(start)],
    [`-${suffix}`, bytes.subarray(bytes.length - suffix)],
  ];
  const [header, body] = random.pick(choices);
  const headers = { range: `bytes=${header}` };
  await read({ base: world.south, path, headers, status: 206, body, ...agentOf(world, random) });
};

const severalRanges: Client = async (world, random) => {
  const { path, bytes } = pick(world, random, 100_000);
  const step = Math.floor(bytes.length / 3);
  const ranges = [0, 1, 2].map((third) => {
    const start = third * step + random.below(1000);
    return [start, start + random.below(20_000)] as const;
  });
  const headers = { range: `bytes=${ranges.map(([start, end]) => `${start}-${end}`).join(', ')}` };
  const { headers: answered, body } = await read({ base: world.south, path, headers, status: 206 });
  const boundary = /^multipart\/byteranges; boundary="?([^"]+)"?$/.exec(answered['content-type'] ?? '')?.[1] ?? '';
  const parts = ranges.map(([start, end]) => {
    const range = Buffer.from(`content-range: bytes ${start}-${end}/${bytes.length}\r\n`);
    return { range, bytes: bytes.subarray(start, end + 1) };
  });
  let at = 0;
  for (const part of parts) {
    const head = body.indexOf(`--${boundary}\r\n`, at);
    const start = body.indexOf('\r\n\r\n', head) + 4;
    const fields = `${body.subarray(head, start).toString('latin1').toLowerCase()}\r\n`;
    if (head === -1 || !fields.includes(part.range.toString())) throw new Error(`${path}: a part is not as asked for`);
    at = start + part.bytes.length;
    if (!part.bytes.equals(body.subarray(start, at))) throw new Error(`${path}: other bytes in a part`);
  }
  if (body.subarray(at).toString('latin1').trim() !== `--${boundary}--`)
    throw new Error(`${path}: parts without an end`);
};

const small: Client = async (world, random) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    for (let count = random.below(60); count >= 0; count--) {
      const { path, bytes } = pick(world, random, 0, 5000);
      await read({ base: world.south, path, status: 200, body: bytes, agent });
    }
  } finally {
    agent.destroy();
  }
};

const idle: Client = async (world, random) => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    const { path, bytes } = pick(world, random, 0, 200_000);
    await read({ base: world.south, path, status: 200, body: bytes, agent });
    await delay(1000 + random.below(8000));
    await read({ base: world.south, path, status: 200, body: bytes, agent });
  } finally {
    agent.destroy();
  }
};

const head: Client = async (world, random) => {
  const { path, bytes } = pick(world, random);
  const options = { base: world.south, path, status: 200, body: Buffer.alloc(0), ...agentOf(world, random) };
  const { headers } = await read({ ...options, method: 'HEAD' });
  if (headers['content-length'] !== String(bytes.length)) throw new Error(`HEAD ${path}: another Content-Length`);
};

const conditional: Client = async (world, random) => {
  const { path, bytes } = pick(world, random, 1, 200_000);
  const first = await read({ base: world.south, path, status: 200, body: bytes });
  const etag = first.headers.etag ?? 'none';
  const nothing = Buffer.alloc(0);
  await read({ base: world.south, path, headers: { 'if-none-match': etag }, status: 304, body: nothing });
  await read({ base: world.south, path, headers: { 'if-match': '"another"' }, status: 412 });
  const same = { range: 'bytes=0-0', 'if-range': etag };
  await read({ base: world.south, path, headers: same, status: 206, body: bytes.subarray(0, 1) });
  const other = { range: 'bytes=0-0', 'if-range': '"another"' };
  await read({ base: world.south, path, headers: other, status: 200, body: bytes });
};

const listing: Client = async (world, random) => {
  const folder = `${random.pick(places)}/`;
  const accept = random.pick(['application/json', 'text/html', 'text/plain']);
  const { body } = await read({ base: world.south, path: folder, headers: { accept }, status: 200 });
  const missing = world.files.filter(({ name }) => !body.includes(name));
  if (missing.length > 0) throw new Error(`${folder} as ${accept} has no ${missing[0]?.name ?? ''}`);
};

const nothing: Client = async (world, random) => {
  const path = `${random.pick(places)}/nothing-${random.below(1000)}`;
  await read({ base: world.south, path, status: 404, ...agentOf(world, random) });
};

async function connection(south: string): Promise<Connection> {
  return Connection.open(south).catch((error: unknown) => {
    throw new Cut(String(error));
  });
}

function leave({ socket }: Connection, random: Random): void {
  if (random.below(2) === 0) socket.resetAndDestroy();
  else socket.destroy();
}

const abort: Client = async (world, random) => {
  const { path } = pick(world, random, 100_000);
  const open = await connection(world.south);
  open.send(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
  // Nobody reads on for a while: the service has to wait, and then it has to notice.
  open.socket.pause();
  await delay(random.below(300));
  open.socket.resume();
  await delay(random.below(20));
  leave(open, random);
};

const halfHeader: Client = async (world, random) => {
  const { path } = pick(world, random);
  const open = await connection(world.south);
  const header = `GET ${path} HTTP/1.1\r\nHost: a\r\nUser-Agent: soak\r\n`;
  open.send(header.slice(0, random.below(header.length)));
  await delay(random.below(4000));
  leave(open, random);
};

/** Two requests at once, which come a few bytes at a time. */
const pipelined: Client = async (world, random) => {
  const { path, bytes } = pick(world, random, 1, 5000);
  const open = await connection(world.south);
  const sent = `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\nGET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`;
  for (let at = 0; at < sent.length; at += 40) {
    open.send(sent.slice(at, at + 40));
    await delay(random.below(20));
  }
  const received = await Promise.race([open.closed, delay(30_000).then(() => 'nothing')]);
  open.socket.destroy();
  const body = bytes.toString('latin1');
  const [, first = '', second = ''] = received.split(/HTTP\/1\.1 200 OK\r\n[^]*?\r\n\r\n/);
  if (!body.startsWith(first) || !body.startsWith(second)) throw new Error(`${path}: other bytes than expected`);
  if (first !== body || second !== body) throw new Cut(`${path}: two requests at once are not both answered`);
};

/** Every kind of client; one that is here more than once is more often. */
export const clients: Readonly<Record<string, Client>> = {
  whole,
  slow,
  range,
  'several ranges': severalRanges,
  small,
  idle,
  head,
  conditional,
  listing,
  nothing,
  abort,
  'half a header': halfHeader,
  pipelined,
};
