import mimeTypes from 'mime-types';

const octets = 'application/octet-stream';
const text = 'text/plain';

/** By ending: what mime-types does not know, or knows as something else than what lies on a disc of this kind. */
const byEnding: ReadonlyMap<string, string> = new Map([
  // UEFI 2.10, 24.7: the firmware's HTTP boot tells by this type what it has got.
  ['efi', 'application/efi'],
  ['zst', 'application/zstd'],
  ['lzma', 'application/x-lzma'],
  ['lz', 'application/x-lzip'],
  ['lz4', 'application/x-lz4'],
  ['tgz', 'application/gzip'],
  ['txz', 'application/x-xz'],
  ['squashfs', 'application/vnd.squashfs'],
  ['ign', 'application/vnd.coreos.ignition+json'],
  // To mime-types a boot message of isolinux is an e-mail, and a device tree a talking book.
  ['msg', text],
  ['dtb', octets],
  ['seed', text],
  ...['cfg', 'ipxe', 'ks', 'preseed', 'repo', 'list', 'lst', 'inf', 'size', 'sources'].map((ending) => [ending, text]),
  ...['md5', 'sha1', 'sha256', 'sha512', 'md5sum', 'sha256sum'].map((ending) => [ending, text]),
] as [string, string][]);

/** Files of text whose names have no ending, in lower case. */
const textNames: ReadonlySet<string> = new Set([
  ...['.treeinfo', '.discinfo', '.buildstamp', '.composeinfo', '.productinfo'],
  ...['release', 'inrelease', 'md5sums', 'sha1sums', 'sha256sums', 'sha512sums', 'checksum', 'checksums'],
  ...['readme', 'license', 'copying', 'copyright', 'changelog', 'eula', 'gpl', 'news', 'version'],
  ...['user-data', 'meta-data', 'vendor-data', 'network-config'], // cloud-init
  ...['info', 'cd_type', 'base_components', 'base_installable', 'udeb_include'], // .disk/ of Debian and Ubuntu
  ...['content', 'media', 'products', 'directory.yast'], // SUSE
]);

/**
 * The media type of a file by its name, in any case; `application/octet-stream` when the name tells none. Without a
 * charset: nobody knows the encoding of a file on somebody's disc. A compressed file has the type of what it is, not
 * of what is in it: it is stored like that, and no encoding of ours (RFC 9110 8.4).
 */
export function mediaType(name: string): string {
  const lower = name.toLowerCase();
  if (textNames.has(lower)) return text;
  const dot = lower.lastIndexOf('.');
  // A name that is nothing but an ending, such as `.iso`, has none.
  if (dot <= 0) return octets;
  const ending = lower.slice(dot + 1);
  return byEnding.get(ending) ?? (mimeTypes.lookup(`x.${ending}`) || octets);
}
