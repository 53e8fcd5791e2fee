import type { UnmountOptions } from './unmount.js';

/** How patient a mount by child process is. All in milliseconds but `tries`. */
export interface Patience extends UnmountOptions {
  /** For one call into the mount. */
  readonly answer: number;
  /** Between two looks whether the service has threads left for files. */
  readonly watch: number;
  /** For open files to be closed, before an unmount leaves them to the kernel. */
  readonly drain: number;
  /** Failures to make a lost mount again after which it is said to be away. It is tried on. */
  readonly tries: number;
  /** Before the second try in a row; each further one waits twice as long. */
  readonly pause: number;
  /** The longest wait between two tries. */
  readonly longestPause: number;
  /** A mount that was there for so long is a good one: when it is lost, it is made again at once. */
  readonly steady: number;
}

const second = 1000;

export const usualPatience: Patience = {
  isRoot: process.getuid?.() === 0,
  umount: '/usr/bin/umount',
  fusermount: '/usr/bin/fusermount',
  timeout: 30 * second,
  answer: 30 * second,
  watch: 10 * second,
  drain: 10 * second,
  tries: 5,
  pause: second / 4,
  longestPause: 30 * second,
  steady: 60 * second,
};
