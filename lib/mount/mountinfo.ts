import { readFile } from 'node:fs/promises';

/** A mount of this process's mount namespace: one line of proc_pid_mountinfo(5). */
export interface MountEntry {
  /** Of no other mount at the same time; the kernel gives it to a new one soon. */
  readonly id: string;
  /** Where it is, absolute. */
  readonly point: string;
  /** The file system's type, such as `udf` or `fuse.fuseiso`. */
  readonly type: string;
  /** What is mounted: a device such as `/dev/loop0`, or whatever the file system says. */
  readonly source: string;
  /** Those of the file system, such as `ro` and `norock`, which all mounts of a device have in common. */
  readonly options: readonly string[];
}

/** A blank, a tab, a line feed, a backslash and, in the source, a number sign are written as three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-3][0-7]{2})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

function parseLine(line: string): MountEntry | undefined {
  const fields = line.split(' ');
  // Between the six fields at the beginning and the hyphen there are as many optional ones as the kernel likes.
  const hyphen = fields.indexOf('-', 6);
  const [id, point, type] = [fields[0], fields[4], fields[hyphen + 1]];
  const [source, options = ''] = fields.slice(hyphen + 2);
  if (hyphen < 0 || !id || !point || !type || source === undefined) return undefined;
  return {
    id,
    point: unescapeOctal(point),
    type: unescapeOctal(type),
    source: unescapeOctal(source),
    options: options.split(','),
  };
}

/** The mounts of a mountinfo file, those at one place in the order in which they lie upon each other. */
export function parseMountinfo(text: string): MountEntry[] {
  return text.split('\n').flatMap((line) => parseLine(line) ?? []);
}

/** The mounts that this process sees now. Never touches a mount, so never waits for one that hangs. */
export async function readMounts(): Promise<MountEntry[]> {
  return parseMountinfo(await readFile('/proc/self/mountinfo', 'utf8'));
}

/** Whether two entries are of one mount. */
export function isSameMount(one: MountEntry, other: MountEntry): boolean {
  return one.id === other.id && one.type === other.type && one.source === other.source;
}

/** What is seen at a path: of several mounts upon each other the one that was made last. */
export async function findMount(point: string): Promise<MountEntry | undefined> {
  return (await readMounts()).findLast((mount) => mount.point === point);
}
