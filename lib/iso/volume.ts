import { type ErrorCode, ServiceError } from '../errors.js';
import { Budget } from './budget.js';
import { openBridge } from './bridge.js';
import { type Descriptors, readDescriptors } from './descriptors.js';
import type { IsoFolder, ReadAt } from './entries.js';
import { type Iso9660View, iso9660Views, openIso9660 } from './iso9660.js';
import type { VolumeSource } from './source.js';
import { holdsOnlyUdf } from './notice.js';
import { openUdf } from './udf/volume.js';

/** The trees of a disc; `bridge` is Rock Ridge with what UDF says of sizes and extents. */
export type View = 'udf' | 'bridge' | Iso9660View;

/** What may be asked for: one tree of the disc, or the one that is best. */
export const viewChoices = ['auto', 'udf', ...iso9660Views] as const;
export type ViewChoice = (typeof viewChoices)[number];

/** An open volume. */
export interface Volume {
  /** Which of the disc's trees is shown. */
  readonly view: View;
  /** The volume identifier, trimmed. */
  readonly label: string;
  /** Firmware can boot the disc (El Torito). */
  readonly isBootable: boolean;
  /** Bytes of the volume as its descriptors say. */
  readonly bytes: number;
  /** Of the volume's descriptors and the size of the .iso: other files on a disc, another identity. */
  readonly identity: string;
  readonly root: IsoFolder;
  /** What one request may cost. */
  readonly newBudget: () => Budget;
}

export interface VolumeOptions {
  /** The tree to show. */
  readonly view?: ViewChoice;
  /** Entries that one request may have read. */
  readonly maxEntries?: number;
}

/**
 * Reads nothing outside of the .iso, whatever its structures say.
 * @param read gives what there is
 * @param bytes of the .iso
 * @returns rejects with BROKEN_ISO outside of the .iso, with TRUNCATED where it has become shorter
 */
export function bounded(read: ReadAt, bytes: number): ReadAt {
  return async (offset, length) => {
    if (offset + length > bytes)
      throw new ServiceError('BROKEN_ISO', `The ISO points to byte ${offset + length} of ${bytes}`);
    const data = length === 0 ? Buffer.alloc(0) : await read(offset, length);
    if (data.length === length) return data;
    throw new ServiceError('TRUNCATED', `The ISO ends before byte ${offset + length}`);
  };
}

/** What is read of a disc. */
interface Opened {
  readonly view: View;
  readonly label: string;
  readonly bytes: number;
  readonly root: IsoFolder;
  /** What tells this UDF volume from others, where UDF is shown. */
  readonly identity?: string;
}

/** The outcome, or why the disc has no such file system: then another one may be shown. */
async function attempt<T>(open: () => Promise<T>, ...codes: readonly ErrorCode[]): Promise<T | ServiceError> {
  try {
    return await open();
  } catch (error) {
    if (error instanceof ServiceError && codes.includes(error.code)) return error;
    throw error;
  }
}

/** As `mount` does: ISO 9660 where UDF cannot be read, unless it has nothing but a notice that UDF is needed. */
async function openBesideUdf(source: VolumeSource, descriptors: Descriptors, reason: ServiceError): Promise<Opened> {
  const { primary } = descriptors;
  if (primary === undefined) throw reason;
  const volume = await openIso9660(source, { ...descriptors, primary });
  if (await holdsOnlyUdf(await volume.root.children(), source.read, source.bytes)) throw reason;
  return volume;
}

/** UDF, and with it, on a bridge disc, what only Rock Ridge has. */
async function openWithUdf(source: VolumeSource, descriptors: Descriptors): Promise<Opened> {
  const udf = await attempt(
    () => openUdf(source.read, source.bytes, source.newBudget),
    'BROKEN_ISO',
    'UNSUPPORTED_ISO',
  );
  if (udf instanceof ServiceError) return openBesideUdf(source, descriptors, udf);
  const { primary } = descriptors;
  const bridge = await attempt(
    async (): Promise<Opened | undefined> => {
      const iso = primary && (await openIso9660(source, { ...descriptors, primary }));
      const root = iso?.view === 'rockridge' ? await openBridge(iso.root, udf.root, source.newBudget()) : undefined;
      return iso && root && { ...iso, view: 'bridge', root, identity: udf.identity };
      // UDF is whole: it is shown whatever is wrong with the other half.
    },
    'BROKEN_ISO',
    'UNSUPPORTED_ISO',
    'TRUNCATED',
  );
  return bridge === undefined || bridge instanceof ServiceError ? { ...udf, view: 'udf' } : bridge;
}

/** The tree that `mount` would show, but the better half of each on a bridge disc. */
function openBest(source: VolumeSource, descriptors: Descriptors): Promise<Opened> {
  const { primary, hasUdf } = descriptors;
  if (hasUdf) return openWithUdf(source, descriptors);
  if (primary !== undefined) return openIso9660(source, { ...descriptors, primary });
  throw new ServiceError('NOT_AN_ISO', 'The file is no ISO image: it has no volume descriptor of ISO 9660 or UDF');
}

async function openView(source: VolumeSource, descriptors: Descriptors, view: 'udf' | Iso9660View): Promise<Opened> {
  const { primary, hasUdf } = descriptors;
  if (view === 'udf' && hasUdf) return { ...(await openUdf(source.read, source.bytes, source.newBudget)), view };
  if (view !== 'udf' && primary !== undefined) return openIso9660(source, { ...descriptors, primary }, view);
  // The other error says what there is.
  const { view: shown } = await openBest(source, descriptors);
  throw new ServiceError('UNSUPPORTED_ISO', `The ISO has no view "${view}"; without view= it shows "${shown}"`);
}

/**
 * Opens an ISO.
 * @param read is asked for bytes inside the .iso only
 * @param bytes of the .iso
 * @throws ServiceError NOT_AN_ISO, UNSUPPORTED_ISO, TRUNCATED, BROKEN_ISO
 */
export async function openIso(read: ReadAt, bytes: number, options: VolumeOptions = {}): Promise<Volume> {
  const { view = 'auto', maxEntries } = options;
  const newBudget = () => new Budget(maxEntries);
  const source = { read: bounded(read, bytes), bytes, newBudget };
  const descriptors = await readDescriptors(source.read, bytes);
  const opened = await (view === 'auto' ? openBest(source, descriptors) : openView(source, descriptors, view));
  const identity = `${descriptors.identity} ${opened.identity ?? ''}`.trim();
  return { ...opened, isBootable: descriptors.isBootable, identity, newBudget };
}
