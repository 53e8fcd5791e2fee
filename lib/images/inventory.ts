import { copyFile, open, readFile, realpath, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ServiceError, ifThere, systemFailure, messageOf, systemCode } from '../errors.js';
import type { Log } from '../log.js';
import { parse, serialize, type Content, type ImageRecord, type Members } from './record.js';
import { OneAtATime } from './one-at-a-time.js';
import { makeFolder, replaceFile, syncFolder, temporaryOf } from './durable.js';

const nothing: Content = { records: new Map(), others: {}, problems: [] };

/** Creates an empty file whose name no other has: what is renamed or copied to it overwrites nothing. */
async function reserveBroken(file: string): Promise<string> {
  const timestamp = new Date().toISOString().replaceAll(':', '');
  for (let attempt = 1; ; attempt++) {
    const name = `${file}.broken-${timestamp}${attempt > 1 ? `-${attempt}` : ''}`;
    try {
      await (await open(name, 'wx')).close();
      return name;
    } catch (error) {
      if (systemCode(error) !== 'EEXIST') throw error;
    }
  }
}

/** @param keep moves or copies the file to its new name */
async function setAside(file: string, keep: (from: string, to: string) => Promise<void>): Promise<string> {
  const broken = await reserveBroken(file);
  try {
    await keep(file, broken);
  } catch (error) {
    await rm(broken, { force: true });
    throw error;
  }
  await syncFolder(dirname(file));
  return broken;
}

async function copyDurably(from: string, to: string): Promise<void> {
  await copyFile(from, to);
  const copy = await open(to, 'r+');
  try {
    await copy.sync();
  } finally {
    await copy.close();
  }
}

async function load(file: string, log: Log): Promise<Content> {
  const bytes = await readFile(file).catch((error: unknown) => {
    // Nothing else counts as missing: starting empty where the images cannot be read would lose them.
    if (systemCode(error) !== 'ENOENT') throw error;
    return undefined;
  });
  if (bytes === undefined) return nothing;
  let content;
  try {
    content = parse(bytes);
  } catch (error) {
    const broken = await setAside(file, rename);
    log.critical(`The inventory ${file} is broken (${messageOf(error)}): kept as ${broken}, starting without images`);
    return nothing;
  }
  if (content.problems.length > 0) {
    const broken = await setAside(file, copyDurably);
    log.critical(
      `The inventory ${file} is damaged (${content.problems.join('; ')}): kept as ${broken}, the rest loads`,
    );
    // What is kept aside is kept once, not at every start.
    await replaceFile(file, serialize(content.records, content.others));
  }
  return content;
}

function failure(doing: string, error: unknown): ServiceError {
  const code = systemFailure(error)?.code ?? 'INTERNAL';
  const reason = systemCode(error) ?? messageOf(error);
  return new ServiceError(code, `Cannot ${doing} the inventory (${reason})`, { cause: error });
}

/** Where the file really is: a link in its place stays, and what it points at is replaced. */
async function realFile(path: string): Promise<string> {
  const file = await ifThere(realpath(path));
  if (file !== undefined) return file;
  const folder = await ifThere(realpath(dirname(path)));
  return folder === undefined ? path : join(folder, basename(path));
}

/** The images and what became of them: one JSON file, replaced as a whole at every change. */
export class Inventory {
  readonly #turns = new OneAtATime();

  private constructor(
    /** Its real path, without links. */
    readonly file: string,
    private records: ReadonlyMap<string, ImageRecord>,
    private readonly others: Members,
  ) {}

  /**
   * Loads a file; a missing one is an empty inventory and comes with the first change. A broken file is kept aside under
   * another name, which the log tells.
   * @throws ServiceError INTERNAL or NO_SPACE when a file that exists cannot be read or kept: starting without its
   * images would lose them
   */
  static async open(path: string, log: Log): Promise<Inventory> {
    try {
      const file = await realFile(path);
      const { records, others } = await load(file, log);
      await rm(temporaryOf(file), { force: true }).catch((error: unknown) => {
        log.warning(`Cannot remove a leftover of the inventory: ${messageOf(error)}`);
      });
      return new Inventory(file, records, others);
    } catch (error) {
      throw failure('open', error);
    }
  }

  /** In the order in which they were added. */
  all(): readonly ImageRecord[] {
    return [...this.records.values()];
  }

  get(id: string): ImageRecord | undefined {
    return this.records.get(id);
  }

  /**
   * Adds a record, or replaces the one of the same id; on disk when it resolves.
   * @throws ServiceError NO_SPACE or INTERNAL, and nothing has changed
   */
  async put(record: ImageRecord): Promise<void> {
    // Copied now: the caller may go on with its object while this waits for its turn.
    const copy = structuredClone(record);
    await this.#turns.run(() => this.#save(new Map(this.records).set(copy.id, copy)));
  }

  /**
   * @returns the record that is gone, or undefined when there was none
   * @throws ServiceError NO_SPACE or INTERNAL, and nothing has changed
   */
  remove(id: string): Promise<ImageRecord | undefined> {
    return this.#turns.run(async () => {
      const record = this.records.get(id);
      if (record === undefined) return undefined;
      await this.#save(new Map([...this.records].filter(([other]) => other !== id)));
      return record;
    });
  }

  /** Resolves when all changes so far are on the disk, or have failed. */
  settled(): Promise<void> {
    return this.#turns.run(() => Promise.resolve());
  }

  async #save(records: ReadonlyMap<string, ImageRecord>): Promise<void> {
    try {
      await makeFolder(dirname(this.file));
      await replaceFile(this.file, serialize(records, this.others));
    } catch (error) {
      throw failure('save', error);
    }
    this.records = records;
  }
}
