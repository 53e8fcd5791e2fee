import { messageOf, ServiceError } from '../errors.js';
import { parseNamedPath, quoted } from '../path.js';
import type { Node, Tree } from '../tree.js';
import { startOf } from '../tree-content.js';

/** Bytes that are read of one file: those that describe a system are a few thousand long. */
export const markerBytes = 64 * 1024;
/** Paths that are looked at in one image. */
const maxLookups = 1000;
/** Milliseconds that looking at them may take: a folder of a million names costs that much each time. */
const patience = 10_000;
/** Entries of a folder that are looked through for a pattern. */
const maxEntries = 20_000;

function decode(bytes: Buffer): string {
  // What Windows writes (Unicode 23.8): its markers are in UTF-16.
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.toString('utf16le', 2);
  return bytes.toString().replace(/^\ufeff/, '');
}

/** A name with `*` for any characters, as a regular expression. */
function patternOf(glob: string): RegExp {
  const literal = glob.split('*').map((text) => text.replace(/[^\w-]/g, '\\$&'));
  return new RegExp(`^${literal.join('.*')}$`, 'iu');
}

/** What is asked about a path is answered once. */
type Answers<T> = Map<string, Promise<T | undefined>>;

/**
 * The files of an image that say what is on it. Names match in any case. Each is looked at once, and no more than its
 * first bytes are read, whatever its size.
 */
export class Markers {
  readonly #types: Answers<Node['type']> = new Map();
  readonly #texts: Answers<string> = new Map();
  readonly #names: Answers<readonly string[]> = new Map();
  readonly #problems = new Set<string>();
  readonly #until = performance.now() + patience;
  #lookups = 0;

  constructor(private readonly tree: Tree) {}

  /** What was wrong with them, in words. */
  get problems(): readonly string[] {
    return [...this.#problems];
  }

  report(problem: string): void {
    this.#problems.add(problem);
  }

  /** What a path leads to, if it leads to anything. */
  typeOf(path: string): Promise<Node['type'] | undefined> {
    return this.#ask(this.#types, path, (node) => Promise.resolve(node.type));
  }

  /** The first bytes of a file as text, whose lines end with a line feed; undefined when there is no such file. */
  text(path: string): Promise<string | undefined> {
    return this.#ask(this.#texts, path, async (node) => {
      if (node.type !== 'file') return undefined;
      if (node.file.size > markerBytes) this.report(`Of ${quoted(path)} the first ${markerBytes} bytes count`);
      return decode(await startOf(node.file, markerBytes)).replace(/\r\n?/g, '\n');
    });
  }

  /** The names in a folder, in order; none when there is no such folder. */
  async names(path: string): Promise<readonly string[]> {
    const names = await this.#ask(this.#names, path, async (node) => {
      const entries = node.type === 'folder' ? await node.list() : [];
      if (entries.length > maxEntries) this.report(`${quoted(path)} has too many entries to be looked through`);
      return entries.length > maxEntries ? [] : entries.map(({ name }) => name).sort();
    });
    return names ?? [];
  }

  /** The paths, in order, that fit a pattern with `*` in its last segment. */
  async find(pattern: string): Promise<string[]> {
    const end = pattern.lastIndexOf('/') + 1;
    const wanted = patternOf(pattern.slice(end));
    const names = await this.names(pattern.slice(0, end));
    return names.filter((name) => wanted.test(name)).map((name) => pattern.slice(0, end) + name);
  }

  #ask<T>(answers: Answers<T>, path: string, look: (node: Node) => Promise<T | undefined>): Promise<T | undefined> {
    const key = path.toLowerCase();
    const answer = answers.get(key) ?? this.#look(path, look);
    answers.set(key, answer);
    return answer;
  }

  async #look<T>(path: string, look: (node: Node) => Promise<T | undefined>): Promise<T | undefined> {
    this.#lookups += 1;
    if (this.#lookups > maxLookups || performance.now() > this.#until) {
      this.report(`After ${maxLookups} files or ${patience} ms nothing more was looked at`);
      return undefined;
    }
    try {
      const segments = path === '' ? [] : parseNamedPath(path, 'The path');
      const node = await this.tree.lookup(segments, 'any-case');
      if (node === undefined) return undefined;
      return await look(node).finally(() => node.type === 'file' && node.file.close());
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      this.report(`${quoted(path)}: ${messageOf(error)}`);
      return undefined;
    }
  }
}
