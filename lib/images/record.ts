import { type ViewChoice, viewChoices } from '../mount/mount.js';
import type { Boot, OperatingSystem } from '../systems/system.js';
import type { Digests } from './hashing.js';

export { viewChoices };

/** The life of an image; `failed` comes with an `error` and is tried again at the next start. */
export const statuses = ['downloading iso', 'preparing', 'OK', 'failed'] as const;
export type Status = (typeof statuses)[number];

export const sourceKinds = ['isostore', 'isolocal', 'isoweb', 'isoclient', 'bundle'] as const;

/** Where the ISO of an image comes from, as the client named it; a `bundle` has none, and is made of several files. */
export interface ImageSource {
  readonly kind: (typeof sourceKinds)[number];
  readonly value: string;
  /** What the ISO must have. */
  readonly digests?: Digests;
  /** URL of a list of digests in which the ISO's must be. */
  readonly sums?: string;
  /** Which of the disc's trees is to be shown. */
  readonly view?: ViewChoice;
}

/** What is known of an image. Members that this version does not know are kept as they are. */
export interface ImageRecord {
  readonly id: string;
  readonly name: string;
  readonly version: string;
  readonly iso: string;
  readonly status: Status;
  /** In words for an operator. */
  readonly error?: string;
  readonly source?: ImageSource;
  /** Size of the ISO. */
  readonly bytes?: number;
  /** Of the ISO, in hexadecimal, when it came through the service. */
  readonly sha256?: string;
  /** What serves the image, which of the disc's trees it shows, and why it and not another. */
  readonly driver?: string;
  readonly view?: string;
  readonly why?: string;
  /** What of a mount could not be taken away yet. */
  readonly unmount?: string;
  /** ISO 8601, UTC. */
  readonly createdAt?: string;
  /** What is on it, and the ways to boot that: the first one is what a machine boots that nobody asks. */
  readonly os?: OperatingSystem;
  readonly boot?: readonly Boot[];
  /** What the operator says of it, over what was found: a signature, a kernel and its RAM disks, arguments of the kernel. */
  readonly system?: string | undefined;
  readonly kernel?: string | undefined;
  readonly initrd?: readonly string[] | undefined;
  readonly args?: string | undefined;
  /** Other paths in the URL space. */
  readonly aliases?: readonly string[] | undefined;
  readonly [other: string]: unknown;
}

export type Members = Readonly<Record<string, unknown>>;

/** What an inventory file holds. */
export interface Content {
  readonly records: ReadonlyMap<string, ImageRecord>;
  /** Members of the file beside `images`, kept for whoever wrote them. */
  readonly others: Members;
  /** What could not be loaded as it was, in words. */
  readonly problems: readonly string[];
}

export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isStatus(value: string): value is Status {
  return statuses.some((status) => status === value);
}

function isSource(value: unknown): boolean {
  if (!isMembers(value) || typeof value['value'] !== 'string') return false;
  const { kind, view } = value;
  return sourceKinds.some((one) => one === kind) && (view === undefined || viewChoices.some((one) => one === view));
}

function isTexts(value: unknown): boolean {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

const optionalMembers: Readonly<Record<string, (value: unknown) => boolean>> = {
  error: (value) => typeof value === 'string',
  source: isSource,
  bytes: (value) => typeof value === 'number',
  sha256: (value) => typeof value === 'string',
  driver: (value) => typeof value === 'string',
  view: (value) => typeof value === 'string',
  why: (value) => typeof value === 'string',
  unmount: (value) => typeof value === 'string',
  createdAt: (value) => typeof value === 'string',
  os: isMembers,
  boot: (value) => Array.isArray(value) && value.every(isMembers),
  system: (value) => typeof value === 'string',
  kernel: (value) => typeof value === 'string',
  initrd: isTexts,
  args: (value) => typeof value === 'string',
  aliases: isTexts,
};

/** A record of the file; members of the wrong type are left out and reported. */
function readRecord(value: unknown, report: (problem: string) => void): ImageRecord | undefined {
  if (!isMembers(value)) {
    report('it is no object');
    return undefined;
  }
  const { id, name, version, iso, status, ...others } = value;
  const required = { id, name, version, iso, status };
  const missing = Object.entries(required).filter(([, member]) => typeof member !== 'string');
  for (const [member] of missing) report(`"${member}" is missing or no string`);
  for (const [member, isRight] of Object.entries(optionalMembers)) {
    if (others[member] === undefined || isRight(others[member])) continue;
    report(`"${member}" has the wrong type`);
    Reflect.deleteProperty(others, member);
  }
  if (typeof id !== 'string' || typeof name !== 'string' || typeof version !== 'string') return undefined;
  if (typeof iso !== 'string' || typeof status !== 'string') return undefined;
  if (isStatus(status)) return { id, name, version, iso, status, ...others };
  const error = `The inventory had the unknown status ${JSON.stringify(status)}`;
  return { id, name, version, iso, status: 'failed', ...others, error };
}

/**
 * Reads an inventory file: what can be loaded, and what is wrong with the rest.
 * @throws SyntaxError or TypeError when it is not `{"images": [...]}`
 */
export function parse(bytes: Buffer): Content {
  const content: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  if (!isMembers(content)) throw new TypeError('It is no object');
  const { images, ...others } = content;
  if (!Array.isArray(images)) throw new TypeError('It has no array "images"');
  const records = new Map<string, ImageRecord>();
  const problems: string[] = [];
  for (const [index, image] of images.entries()) {
    const report = (problem: string) => problems.push(`images[${index}]: ${problem}`);
    const record = readRecord(image, report);
    if (record === undefined) continue;
    if (records.has(record.id)) report('its id is taken by another record');
    else records.set(record.id, record);
  }
  return { records, others, problems };
}

/** The text of an inventory file. */
export function serialize(records: ReadonlyMap<string, ImageRecord>, others: Members): string {
  return `${JSON.stringify({ images: [...records.values()], ...others }, null, 2)}\n`;
}
