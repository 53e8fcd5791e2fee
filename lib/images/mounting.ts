import type { Mount, MountDriver } from '../mount/mount.js';
import type { Stamp, Tree } from '../tree.js';
import { openBundle } from './bundle-tree.js';
import type { ImageRecord } from './record.js';
import { isoPathOf, storedNameOf } from './sources.js';
import type { Store } from './store.js';

/** What images are made readable with. */
export interface MountingOptions {
  readonly store: Store;
  readonly driver: MountDriver;
  /** Entries of an ISO that one request may have read. */
  readonly maxEntries?: number;
  /** The files of which bundles are made. */
  readonly bundleStore?: Tree;
}

/** Makes the files of an image readable. @throws ServiceError the errors of `MountDriver.mount` and `openBundle` */
export function mountImage(record: ImageRecord, options: MountingOptions): Promise<Mount> {
  const { driver, store, maxEntries, bundleStore } = options;
  const { id, source } = record;
  if (source?.kind === 'bundle') return openBundle(source.value, bundleStore);
  const name = storedNameOf(record);
  const path = isoPathOf(record, store);
  // A file from elsewhere is not what the store may have under its name by now.
  const isStored = path === store.pathOf(name);
  const { view = 'auto' } = source ?? {};
  const digest = isStored && { digest: (opened: Stamp) => store.digestOf(name, opened) };
  return driver.mount({ id, path, view, ...(maxEntries && { maxEntries }), ...digest });
}
