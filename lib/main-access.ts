import { createInterface } from 'node:readline/promises';
import { type Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { becomeOwner } from './access/auth-file.js';
import { addToken, listEntries, removeEntry, setPassword } from './access/changes.js';
import { type Kind, type Scope, kinds, scopes } from './access/entries.js';
import type { Config } from './config.js';
import { ServiceError } from './errors.js';

/** What `--help` says of these commands. */
export const accessUsage = `Commands, which change who may use the management API (authFile in the configuration):
  token add NAME [--scope read|write]     make a token and print it, this once (default scope: read)
  token list, token remove NAME
  password set NAME [--scope read|write]  set the password that standard input has (default scope: read)
  password list, password remove NAME
`;

const options = { config: { type: 'string' }, scope: { type: 'string' } } as const;

/** What a command reads and writes. */
export interface CommandStreams {
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly stdout: Writable;
  readonly stderr: Writable;
}

type Command = (file: string, name: string, scope: Scope | undefined, streams: CommandStreams) => Promise<void>;

/** Reads one line from a terminal, and does not show it. */
async function readHidden({ stdin, stderr }: CommandStreams): Promise<string> {
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: stdin, output: nowhere, terminal: true });
  // From here on the terminal shows nothing by itself.
  stderr.write('Password: ');
  const given = new AbortController();
  // Control-C and control-D.
  lines.once('close', () => given.abort());
  try {
    return await lines.question('', { signal: given.signal });
  } catch {
    throw new ServiceError('BAD_REQUEST', 'There was no password');
  } finally {
    lines.close();
    stderr.write('\n');
  }
}

async function readPassword(streams: CommandStreams): Promise<string> {
  if (streams.stdin.isTTY) return readHidden(streams);
  // Files and echo end with a line feed, which nobody means.
  return (await text(streams.stdin)).replace(/\r?\n$/, '');
}

const add: Command = async (file, name, scope = 'read', { stdout, stderr }) => {
  const token = await addToken(file, name, scope);
  stdout.write(`${token}\n`);
  stderr.write(`Token ${name} with the scope ${scope}. It is kept nowhere: this is the only time that it is shown.\n`);
};

const set: Command = async (file, name, scope, streams) => {
  await setPassword(file, name, await readPassword(streams), scope);
};

function list(kind: Kind): Command {
  return async (file, _name, _scope, { stdout }) => {
    stdout.write(await listEntries(file, kind));
  };
}

function remove(kind: Kind): Command {
  return (file, name) => removeEntry(file, kind, name);
}

/** A line for each command: what it is called by, whether a name and a scope belong to it, and what it does. */
const commands: readonly [words: string, takes: readonly ('NAME' | '--scope')[], command: Command][] = [
  ['token add', ['NAME', '--scope'], add],
  ['token list', [], list('token')],
  ['token remove', ['NAME'], remove('token')],
  ['password set', ['NAME', '--scope'], set],
  ['password list', [], list('password')],
  ['password remove', ['NAME'], remove('password')],
];

/** Whether arguments are one of these commands, right or not, rather than options of the service. */
export function isAccessCommand(args: readonly string[]): boolean {
  const { positionals } = parseArgs({ args: [...args], options, strict: false, allowPositionals: true });
  return kinds.some((kind) => kind === positionals[0]);
}

function refuse(message: string): never {
  throw new ServiceError('BAD_REQUEST', `${message}; --help shows the commands`);
}

function scopeOf(value: string | undefined): Scope | undefined {
  if (value === undefined) return undefined;
  return scopes.find((scope) => scope === value) ?? refuse(`--scope must be one of ${scopes.join(', ')}`);
}

/**
 * Runs a command that changes who may use the management API.
 * @param loadConfig reads the configuration from a file, or from where it usually is
 * @throws ServiceError with what is wrong
 */
export async function runAccessCommand(
  args: readonly string[],
  loadConfig: (file: string | undefined) => Promise<Config>,
  streams: CommandStreams,
): Promise<void> {
  const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
  const [first, second, name, ...more] = positionals;
  const words = [first, second].filter((word) => word !== undefined).join(' ');
  const [, takes = [], command] = commands.find(([wanted]) => wanted === words) ?? [];
  if (command === undefined) return refuse(`There is no command "${words}"`);
  if (takes.includes('NAME') !== (name !== undefined) || more.length > 0) {
    return refuse(takes.includes('NAME') ? `"${words}" takes one name` : `"${words}" takes no name`);
  }
  if (values.scope !== undefined && !takes.includes('--scope')) return refuse(`"${words}" takes no --scope`);
  const scope = scopeOf(values.scope);
  const { authFile } = await loadConfig(values.config);
  if (authFile === undefined) {
    const message = 'authFile is not set: set it in the configuration, or IMAGE_SERVICE_AUTH_FILE in the environment';
    throw new ServiceError('BAD_REQUEST', `${message}, to the path of a file for tokens and passwords`);
  }
  await becomeOwner(authFile);
  await command(authFile, name ?? '', scope, streams);
}
