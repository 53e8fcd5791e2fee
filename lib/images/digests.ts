import { ServiceError } from '../errors.js';
import { type Algorithm, type Digests, algorithms } from './hashing.js';

/** How many hexadecimal digits a digest has. */
const digits: Readonly<Record<Algorithm, number>> = { sha256: 64, sha512: 128, md5: 32 };

/** The algorithm of a digest in hexadecimal, by its length; undefined for anything else. */
export function algorithmOf(text: string): Algorithm | undefined {
  return /^[0-9a-f]*$/i.test(text) ? algorithms.find((algorithm) => digits[algorithm] === text.length) : undefined;
}

/**
 * The digests that the parameters `sha256`, `sha512` and `md5` say a file has.
 * @throws ServiceError BAD_REQUEST for anything but hexadecimal of the right length
 */
export function demanded(parameters: Digests): Digests {
  const given = algorithms.filter((algorithm) => parameters[algorithm] !== undefined);
  const checked = given.map((algorithm) => {
    const value = parameters[algorithm] ?? '';
    if (algorithmOf(value) === algorithm) return [algorithm, value.toLowerCase()] as const;
    throw new ServiceError('BAD_REQUEST', `${algorithm} must be ${digits[algorithm]} hexadecimal digits`);
  });
  return Object.fromEntries(checked);
}

/**
 * What two places say about one file.
 * @throws ServiceError BAD_REQUEST when they contradict each other
 */
export function mergeDemands(a: Digests, b: Digests): Digests {
  for (const algorithm of algorithms) {
    const [first, second] = [a[algorithm], b[algorithm]];
    if (first === undefined || second === undefined || first === second) continue;
    const message = `The request says two different things about the ${algorithm} of the file: ${first} and ${second}`;
    throw new ServiceError('BAD_REQUEST', message);
  }
  return { ...a, ...b };
}

/**
 * Compares a file with what is demanded of it.
 * @param computed has every algorithm that is demanded
 * @throws ServiceError DIGEST_MISMATCH
 */
export function checkDigests(demands: Digests, computed: Digests): void {
  for (const algorithm of algorithms) {
    const [expected, actual] = [demands[algorithm], computed[algorithm]];
    if (expected === undefined || expected === actual) continue;
    if (actual === undefined) throw new Error(`The ${algorithm} of the file is demanded, and was not computed`);
    throw new ServiceError('DIGEST_MISMATCH', `The ${algorithm} of the file is ${actual}; it should be ${expected}`);
  }
}
