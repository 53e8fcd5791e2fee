import { readdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { ifThere, messageOf, ServiceError, systemCode } from '../errors.js';

/** Whom everybody knows who has no rights. */
const defaultUser = 'nobody';

interface Identity {
  readonly uid: number;
  readonly gid: number;
}

/**
 * A user, with his first group.
 * @throws Error when there is no such user
 */
function identityOf(user: string): Identity {
  const number = /^\d+$/.test(user) ? Number(user) : undefined;
  process.seteuid?.(number ?? user);
  try {
    const { uid, gid } = userInfo();
    return { uid, gid };
  } catch (error) {
    // A number that no user has: the group of the same number.
    if (number === undefined) throw error;
    return { uid: number, gid: number };
  } finally {
    process.seteuid?.(0);
  }
}

/** The first of the folders that cannot be read now, in words. */
async function unreadable(folders: Readonly<Record<string, string>>): Promise<string | undefined> {
  for (const [key, folder] of Object.entries(folders)) {
    try {
      await ifThere(readdir(folder));
    } catch (error) {
      return `may not read ${key} ${JSON.stringify(folder)} (${systemCode(error) ?? messageOf(error)})`;
    }
  }
  return undefined;
}

/** Acts as a user for as long as it takes to look. */
async function lookAs({ uid, gid }: Identity, folders: Readonly<Record<string, string>>): Promise<string | undefined> {
  const groups = process.getgroups?.() ?? [];
  process.setgroups?.([gid]);
  process.setegid?.(gid);
  process.seteuid?.(uid);
  try {
    return await unreadable(folders);
  } finally {
    process.seteuid?.(0);
    process.setegid?.(0);
    process.setgroups?.(groups);
  }
}

/**
 * Gives up root for good, where the process has it.
 * @param user name or number; undefined: `nobody`, unless that one cannot read the folders
 * @param folders that have to be read, by the setting that names them; one that is missing may come yet
 * @returns why the process is root still, in words
 * @throws ServiceError BAD_REQUEST when `user` is given, and there is no such user, or it may not read the folders
 */
export async function dropPrivileges(
  user: string | undefined,
  folders: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  const name = user ?? defaultUser;
  try {
    const identity = identityOf(name);
    const { uid, gid } = identity;
    if (uid === 0) return undefined;
    const problem = await lookAs(identity, folders);
    if (problem !== undefined) throw new ServiceError('FORBIDDEN', problem);
    process.setgroups?.([gid]);
    process.setgid?.(gid);
    process.setuid?.(uid);
    return undefined;
  } catch (error) {
    const words = `user ${JSON.stringify(name)} ${messageOf(error)}`;
    if (user !== undefined) throw new ServiceError('BAD_REQUEST', words, { cause: error });
    return words;
  }
}
