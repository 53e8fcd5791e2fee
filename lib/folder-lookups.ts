import { Flights } from './flights.js';
import type { Match, Node, OpenFile, Tree } from './tree.js';

/** A file that so many have received: it is closed when all of them have closed it. */
function sharedBy(parts: number, file: OpenFile): OpenFile {
  let left = parts;
  return { ...file, close: () => (--left === 0 ? file.close() : Promise.resolve()) };
}

function closingOnce(file: OpenFile): OpenFile {
  let closing: Promise<void> | undefined;
  return { ...file, close: () => (closing ??= file.close()) };
}

/** A tree of which a thousand machines that want one file at the same time open it a few times only. */
export class SharedLookups implements Tree {
  readonly #flights = new Flights<Node | undefined>();

  constructor(private readonly tree: Tree) {}

  async lookup(path: readonly string[], match: Match): Promise<Node | undefined> {
    const node = await this.#flights.run([match, ...path].join('/'), async (parts) => {
      const found = await this.tree.lookup(path, match);
      return found?.type === 'file' ? { ...found, file: sharedBy(parts, found.file) } : found;
    });
    return node?.type === 'file' ? { ...node, file: closingOnce(node.file) } : node;
  }
}
