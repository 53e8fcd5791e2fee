import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from '../../fixtures/process.js';

/** Compiles a C program of this benchmark. @returns its path */
export async function compile(name: 'copying' | 'drain', folder: string): Promise<string> {
  const source = fileURLToPath(new URL(`../../../../test/bench/southbound/${name}.c`, import.meta.url));
  const program = join(folder, name);
  const { code, stderr } = await run('cc', ['-O2', '-Wall', '-o', program, source]);
  if (code !== 0) throw new Error(`cc exits with ${String(code)}: ${stderr}`);
  return program;
}
