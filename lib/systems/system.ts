/** How an operating system was recognized: by a marker that says so, by its layout, by its boot menus, or by the operator. */
export type Certainty = 'exact' | 'fallback' | 'inspection' | 'given';

/** A workflow of RackHD that installs the system, and its options. */
export interface Workflow {
  readonly graph: string;
  /** Texts as in `Boot`. */
  readonly options: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
}

/** What is on an ISO. */
export interface OperatingSystem {
  /** Of one installer, such as `redhat`; `generic` where nobody knows it. */
  readonly family: string;
  readonly distribution?: string;
  readonly version?: string;
  readonly codename?: string;
  /** As Linux names them (uname -m). */
  readonly architectures: readonly string[];
  /** What recognized it: the name of a signature; left out where none did. */
  readonly signature?: string;
  readonly certainty: Certainty;
  /** What RackHD installs it by. */
  readonly rackhd?: Workflow;
  /** What is wrong with what the ISO says of itself, in words. */
  readonly problems?: readonly string[];
}

/** How a machine is started: by a Linux kernel, by a multiboot kernel with modules, as ESXi is, or by the whole ISO. */
export const bootKinds = ['linux', 'multiboot', 'esxi', 'iso'] as const;
export type BootKind = (typeof bootKinds)[number];

/**
 * A way to boot what is on an ISO. Paths are those of the image, from its root, without a slash at the beginning; one with
 * a slash is a path of the file server, such as `/common/wimboot`. In texts `{tree}` stands for the URL of the image
 * without a slash at its end, `{iso}` for that of the .iso, `{host}` and `{path}` for the two parts of the former.
 */
export interface Boot {
  readonly kind: BootKind;
  readonly title?: string;
  readonly architecture?: string;
  readonly kernel?: string;
  /** RAM disks, or modules of a multiboot kernel, in order. */
  readonly initrd?: readonly string[];
  /** Files that are put into the RAM disk: by their name there, a path or `{iso}`. */
  readonly inject?: Readonly<Record<string, string>>;
  /** What the booted system fetches besides, as far as that is known. */
  readonly files?: readonly string[];
  /** Arguments of the kernel. */
  readonly args?: string;
  /** Those of them that tell the installer where its packages or its root file system are. */
  readonly repository?: string;
  /** The file that lists what is loaded (ESXi). */
  readonly config?: string;
  /** The loader for UEFI. */
  readonly loader?: string;
  /** What an operator has to know, in words. */
  readonly note?: string;
}

/** All that is known of what an ISO boots. */
export interface Identification {
  readonly os: OperatingSystem;
  /** The first one is what a machine boots that nobody asks. */
  readonly boot: readonly Boot[];
}

const architectureNames: Readonly<Record<string, string>> = {
  amd64: 'x86_64',
  x64: 'x86_64',
  '64-bit': 'x86_64',
  'x86-64': 'x86_64',
  i586: 'i386',
  i686: 'i386',
  x86: 'i386',
  arm64: 'aarch64',
  a64: 'aarch64',
  ppc64el: 'ppc64le',
};

/** The name that Linux gives an architecture. */
export function architectureOf(name: string): string {
  const known = name.toLowerCase();
  return architectureNames[known] ?? known;
}
