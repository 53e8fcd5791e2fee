import { readFile } from 'node:fs/promises';

/** The version of this program, from its package.json. */
export async function readVersion(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  const { version }: { version?: string } = JSON.parse(text) as object;
  return version ?? 'unknown';
}
