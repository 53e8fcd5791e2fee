import { bareNode, copying, idleNodes, ours, oursInIso } from './peers.js';
import type { Figure, Results } from './results.js';
import { fairness } from './rounds.js';

/** The titles of the measurements. */
export const titles = {
  one: 'all want the same 32 MiB, 1 client',
  hundred: 'all want the same 32 MiB, 100 clients',
  different: 'each wants another file of a set larger than the cache, 100 clients',
  small: 'files of 4 KiB over kept connections, 100 clients',
  fairness,
  memory: '1,000 clients at 64 KiB/s, the same 32 MiB',
  spread: '1,000 clients at 64 KiB/s, the set larger than the cache',
  idle: '5,000 idle connections',
} as const;

export type Name = keyof typeof titles;
export const names = Object.keys(titles) as readonly Name[];

interface Target {
  readonly what: string;
  readonly figure: (results: Results) => number;
  readonly limit: number;
  /** Whether the figure may be more than the limit, or less. */
  readonly allowed: 'at least' | 'at most';
  readonly unit: string;
  /** What no server like ours can do better, in words; undefined where it was not measured. */
  readonly bound?: (results: Results) => string | undefined;
}

/** What servers reach that do nothing but copy, as ours has to: nginx has the kernel send the file. */
function copyingBound(name: Name, figure: Figure): Required<Target>['bound'] {
  return (results) => {
    const reached = ([bareNode, copying] as const).map((one) => results.ratio(titles[name], one, 'nginx', figure));
    if (reached.some(Number.isNaN)) return undefined;
    const [node, c] = reached.map((times) => times.toFixed(2));
    return `a server on Node that does nothing but copy: ${node} times; one in C: ${c} times`;
  };
}

function idleBound(name: Name, other: string): Required<Target>['bound'] {
  return (results) => {
    const [least, others] = [idleNodes, other].map((one) => results.median(titles[name], one, 'memory'));
    if (least === undefined || others === undefined || Number.isNaN(least)) return undefined;
    const reached = `${(least / 1e6).toFixed(0)} MB, ${(least / others).toFixed(2)} times`;
    return `so many Node processes that do nothing: ${reached}`;
  };
}

function boundOf(name: Name, other: string, figure: Figure): Target['bound'] {
  if (figure === 'memory') return idleBound(name, other);
  const isCopied = other === 'nginx' && (figure === 'answersPerSecond' || figure === 'cpu');
  return isCopied ? copyingBound(name, figure) : undefined;
}

function times(
  [name, contender]: readonly [Name, string],
  allowed: Target['allowed'],
  limit: number,
  [other, figure]: readonly [string, Figure],
): Target {
  const words: Partial<Record<Figure, string>> = {
    answersPerSecond: 'throughput',
    firstByte: 'first byte of 99 %',
    cpu: 'CPU per GB',
    memory: 'memory',
  };
  const bound = boundOf(name, other, figure);
  return {
    what: `${titles[name]}: ${words[figure] ?? figure} of ${contender} to ${other}`,
    figure: (results) => results.ratio(titles[name], contender, other, figure),
    ...{ allowed, limit, unit: ' times', ...(bound && { bound }) },
  };
}

function absolute(name: Name, what: string, figure: Figure, limit: number, unit: string, scale: number): Target {
  const isMore = figure === 'held' || figure === 'speed';
  return {
    what: `${titles[name]}: ${what}`,
    figure: (results) => results.median(titles[name], ours, figure) * scale,
    ...{ allowed: isMore ? 'at least' : 'at most', limit, unit },
  };
}

function besideNginx(contender: string): Target[] {
  return [
    times(['one', contender], 'at least', 1.2, ['nginx', 'answersPerSecond']),
    times(['hundred', contender], 'at least', 1.2, ['nginx', 'answersPerSecond']),
    times(['hundred', contender], 'at most', 2, ['nginx', 'firstByte']),
    times(['hundred', contender], 'at most', 1.6, ['nginx', 'cpu']),
    times(['different', contender], 'at least', 0.8, ['nginx', 'answersPerSecond']),
    times(['fairness', contender], 'at most', 2, ['nginx', 'firstByte']),
  ];
}

const isoTargets: readonly Target[] = (['one', 'hundred', 'different'] as const).flatMap((name) => [
  times([name, oursInIso], 'at least', 0.95, [ours, 'answersPerSecond']),
  times([name, oursInIso], 'at most', 1.05, [ours, 'cpu']),
]);

const packageTargets: readonly Target[] = [
  times(['small', ours], 'at least', 2, ['send', 'answersPerSecond']),
  ...['send', 'serve-handler'].flatMap((other) => [
    times(['hundred', ours], 'at least', 4, [other, 'answersPerSecond']),
    times(['hundred', ours], 'at most', 0.5, [other, 'memory']),
  ]),
];

/** What the file server is to hold, in the order of the table. */
export function targets(hasIso: boolean, idleConnections: number): Target[] {
  return [
    ...besideNginx(ours),
    ...(hasIso ? [...besideNginx(oursInIso), ...isoTargets] : []),
    ...packageTargets,
    absolute('fairness', 'GET /images northbound of 99 %', 'northbound', 50, ' ms', 1000),
    // Nine tenths of what they read: otherwise it was cheap because it was not done.
    absolute('memory', 'throughput', 'speed', 59, ' MB/s', 1e-6),
    absolute('memory', 'over idle', 'overIdle', 100, ' MB', 1e-6),
    absolute('idle', 'held', 'held', idleConnections, '', 1),
  ];
}

interface Verdict {
  readonly holds: boolean;
  /** The second one, where the target fails, is what no server like ours can do better. */
  readonly lines: readonly string[];
}

/** Says of a target whether it holds. @returns undefined where there is nothing to say: it was not measured */
export function verdictOf(results: Results, target: Target): Verdict | undefined {
  const { what, limit, allowed, unit } = target;
  const figure = target.figure(results);
  if (Number.isNaN(figure)) return undefined;
  const holds = allowed === 'at least' ? figure >= limit : figure <= limit;
  const shown = Number.isInteger(figure) ? String(figure) : figure.toFixed(2);
  const line = `${holds ? 'Holds' : 'FAILS'}: ${what}: ${shown}${unit}, ${allowed} ${limit} wanted`;
  const bound = holds ? undefined : target.bound?.(results);
  return { holds, lines: bound === undefined ? [line] : [line, `       (${bound})`] };
}
