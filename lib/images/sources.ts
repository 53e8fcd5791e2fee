import { realpath } from 'node:fs/promises';
import { basename, isAbsolute, resolve, sep } from 'node:path';
import { ServiceError, ifThere, systemCode } from '../errors.js';
import { checkIso } from '../mount/check-iso.js';
import { checkFileName, checkName, quoted } from '../path.js';
import type { DownloadPolicy } from './download.js';
import { checkHost } from './download-hosts.js';
import { checkDownloadUrl, fileNameOf, withoutCredentials } from './download-url.js';
import type { IncomingFile } from './incoming-file.js';
import type { ImageRecord, ImageSource } from './record.js';
import type { Tree } from '../tree.js';
import { openBundle } from './bundle-tree.js';
import type { Store } from './store.js';

/**
 * Checks the name and version of an image.
 * @param reserved names that the URL space has for something else, in lower case
 * @throws ServiceError BAD_REQUEST
 */
export function checkImageName(name: string, version: string, reserved: ReadonlySet<string>): void {
  checkName(name, 'name');
  checkName(version, 'version');
  if (!reserved.has(name.toLowerCase())) return;
  const message = `name ${quoted(name)} is in use by the service (${[...reserved].join(', ')})`;
  throw new ServiceError('BAD_REQUEST', message);
}

/** The name that the ISO of a source has, or will have, in the store. */
export function isoNameOf(source: ImageSource): string {
  const { kind, value } = source;
  if (kind === 'isoweb') {
    const name = fileNameOf(checkDownloadUrl(value));
    if (name === undefined) {
      const shown = quoted(withoutCredentials(value));
      throw new ServiceError('BAD_REQUEST', `isoweb ${shown} names no file; allowed: a URL that ends with a file name`);
    }
    return checkFileName(name, 'the file name of isoweb');
  }
  if (kind === 'isolocal') {
    if (!isAbsolute(value) || value.includes('\0')) {
      const message = `isolocal ${quoted(value)} is not allowed; allowed: an absolute path on the server`;
      throw new ServiceError('BAD_REQUEST', message);
    }
    return checkFileName(basename(value), 'the file name of isolocal');
  }
  return checkFileName(value, kind);
}

/** What the record shows as `iso`: as documented, the path for a file from the server and the stored name otherwise; of a bundle nothing. */
export function isoOf(source: ImageSource): string {
  if (source.kind === 'bundle') return '';
  return source.kind === 'isolocal' ? source.value : isoNameOf(source);
}

/** Whether an image is made from a file of the server, such as one that the released service recorded. */
export function isLocal({ iso }: ImageRecord): boolean {
  return isAbsolute(iso);
}

/** The name of an image's ISO in the store. */
export function storedNameOf(record: ImageRecord): string {
  return isLocal(record) ? basename(record.iso) : record.iso;
}

/** Whether an image is made from the store's file of this name, or from the file that the store's link leads to. */
export function isMadeFrom(record: ImageRecord, isoName: string, store: Store): boolean {
  if (!isLocal(record)) return record.iso === isoName;
  return record.iso === store.pathOf(isoName) || (basename(record.iso) === isoName && store.isLink(isoName));
}

/**
 * What a new record shows as `iso`. A download is stored under the name in its URL, unless another image is made from a
 * file of that name: many a mirror calls every ISO `boot.iso`, and one image must not become another one's bytes.
 * @throws ServiceError IN_USE
 */
export function nameOfNew({ name, version, iso, source }: ImageRecord, isFree: (isoName: string) => boolean): string {
  if (source?.kind !== 'isoweb' || isFree(iso)) return iso;
  const own = checkFileName(`${name}-${version}-${iso}`, 'the file name of isoweb');
  if (!isFree(own)) throw new ServiceError('IN_USE', `Other images are made from ${iso} and ${own}`);
  return own;
}

/** Where an image's ISO is on the disk. */
export function isoPathOf(record: ImageRecord, store: Store): string {
  return isLocal(record) ? record.iso : store.pathOf(checkFileName(record.iso, 'iso'));
}

/** @throws ServiceError NOT_FOUND (no such file in the store), NOT_AN_ISO */
export async function checkStored(name: string, store: Store): Promise<void> {
  if ((await store.find(name)) === undefined) throw new ServiceError('NOT_FOUND', `There is no ${name} in the store`);
  await checkIso(store.pathOf(name));
}

/** @param folders `undefined`: anywhere */
function mayTake(path: string, folders: readonly string[] | undefined): boolean {
  return folders?.some((folder) => path.startsWith(folder.endsWith(sep) ? folder : folder + sep)) ?? true;
}

async function withRealPaths(folders: readonly string[] | undefined): Promise<readonly string[] | undefined> {
  const real = folders?.map((folder) => realpath(folder).catch(() => folder));
  return folders && [...folders, ...(await Promise.all(real ?? []))];
}

/**
 * Checks a file of the server and finds where it really is.
 * @param folders to which `isolocal` is restricted, if it is
 * @throws ServiceError NOT_FOUND, FORBIDDEN (outside of the folders), BAD_REQUEST (no regular file), NOT_AN_ISO
 */
export async function checkLocal(path: string, folders: readonly string[] | undefined): Promise<string> {
  const allowed = await withRealPaths(folders);
  const shown = quoted(path);
  const outside = () =>
    new ServiceError('FORBIDDEN', `isolocal ${shown} is outside of the folders that isoLocalDirs allows`);
  // By name first, so that nobody learns what exists elsewhere; then where its links really lead.
  if (!mayTake(resolve(path), allowed)) throw outside();
  const target = await ifThere(realpath(path)).catch((cause: unknown) => {
    if (systemCode(cause) !== 'EACCES') throw cause;
    throw new ServiceError('FORBIDDEN', `isolocal ${shown} cannot be read by the service`, { cause });
  });
  if (target === undefined)
    throw new ServiceError('NOT_FOUND', `isolocal ${shown}: there is no such file on the server`);
  if (!mayTake(target, allowed)) throw outside();
  await checkIso(target);
  return target;
}

/**
 * Whether the ISO of a restored image has to be downloaded, again or at all. A digest says that it had arrived: without
 * one, a file of its name in the store may be an older one.
 * @throws ServiceError NOT_FOUND when it has, and nobody knows from where
 */
export function isToDownload({ status, source, sha256 }: ImageRecord, isStored: boolean): boolean {
  if (source?.kind === 'isoweb') {
    return status === 'downloading iso' || !isStored || (status === 'failed' && sha256 === undefined);
  }
  if (status !== 'downloading iso') return false;
  throw new ServiceError('NOT_FOUND', 'Its download was interrupted, and its URL is not recorded');
}

/**
 * Claims the store's name for the download of an image.
 * @throws ServiceError BUSY, EXISTS
 */
export function claimDownload(record: ImageRecord, store: Store): Promise<IncomingFile> {
  const source = withoutCredentials(record.source?.value ?? '');
  return store.receive(storedNameOf(record), { check: checkIso, source });
}

/** Removes what has arrived of an image's ISO, where that broke off. */
export async function abandonDownload(record: ImageRecord, store: Store): Promise<void> {
  if (record.source?.kind !== 'isoweb') return;
  await store.abandon(storedNameOf(record), withoutCredentials(record.source.value));
}

/** Whether the store has another file by now than the one that the image was made from. */
export async function isReplaced(record: ImageRecord, store: Store): Promise<boolean> {
  const { sha256 } = (await store.find(storedNameOf(record))) ?? {};
  return sha256 !== undefined && record.sha256 !== undefined && sha256 !== record.sha256;
}

/** What says where an ISO may come from. */
export interface SourceRules {
  readonly store: Store;
  readonly localFolders: readonly string[] | undefined;
  readonly downloads: Pick<DownloadPolicy, 'hosts'>;
  readonly bundleStore?: Tree;
}

/**
 * Checks the source of a new image, as far as that can be done at once.
 * @returns the claim on the store's name where the ISO has to be downloaded
 * @throws ServiceError the errors of `checkLocal`, `checkStored`, `checkHost`, `claimDownload` and `openBundle`
 */
export async function obtain(record: ImageRecord, rules: SourceRules): Promise<IncomingFile | undefined> {
  const { store, localFolders, downloads } = rules;
  const { source } = record;
  if (source === undefined) return undefined;
  if (source.kind === 'bundle') {
    await (await openBundle(source.value, rules.bundleStore)).unmount();
    return undefined;
  }
  const { kind, value, sums } = source;
  const name = isoNameOf(source);
  if (kind === 'isolocal') await store.link(name, await checkLocal(value, localFolders));
  if (kind === 'isostore') await checkStored(name, store);
  if (kind !== 'isoweb') return undefined;
  for (const url of sums === undefined ? [value] : [value, sums]) checkHost(checkDownloadUrl(url), downloads.hosts);
  return claimDownload(record, store);
}
