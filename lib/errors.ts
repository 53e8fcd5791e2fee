/** What went wrong, in the words of the domain. `http/reply.ts` alone turns a code into an HTTP status. */
export type ErrorCode =
  | 'BAD_REQUEST' // input that breaks a rule which the message names
  | 'UNAUTHORIZED' // no credentials, or wrong ones
  | 'FORBIDDEN' // understood, and not allowed here
  | 'NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  | 'TIMEOUT' // the client took too long, or is gone
  | 'EXISTS' // the name is taken
  | 'BUSY' // somebody else is writing this right now
  | 'IN_USE' // something depends on it
  | 'OFFSET' // what comes does not begin where the last part ended
  | 'LENGTH_REQUIRED'
  | 'EXPECTATION_FAILED' // an Expect header that we cannot meet
  | 'TOO_LARGE'
  | 'TOO_MANY_REQUESTS' // more than one client may ask in a time
  | 'URL_TOO_LONG'
  | 'HEADER_TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'DIGEST_MISMATCH' // the bytes are not those that somebody says they should be
  | 'NOT_AN_ISO' // the bytes are no ISO 9660 volume
  | 'TRUNCATED' // a file shorter than it says it is
  | 'BROKEN_ISO' // an ISO whose structures contradict themselves
  | 'UNSUPPORTED_ISO' // an ISO of a kind that we do not read
  | 'UNAVAILABLE' // not now, but soon
  | 'BAD_GATEWAY' // the far end of a download failed
  | 'GATEWAY_TIMEOUT' // the far end of a download is silent
  | 'NO_SPACE'
  | 'NOT_IMPLEMENTED'
  | 'INTERNAL';

/** An error that may be shown to a client: its message never holds a host path that the client did not send. */
export class ServiceError extends Error {
  override readonly name = 'ServiceError';

  /** @param cause what happened underneath: logged, never sent */
  constructor(
    readonly code: ErrorCode,
    message: string,
    options?: { cause?: unknown },
  ) {
    super(message, options);
  }
}

/** The `code` of a failed system call (`ENOENT`, …), or undefined for any other value. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

const missing: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP']);

/** The outcome of a file operation, or undefined when there is nothing at its path. */
export async function ifThere<T>(operation: Promise<T>): Promise<T | undefined> {
  try {
    return await operation;
  } catch (error) {
    if (missing.has(systemCode(error))) return undefined;
    throw error;
  }
}

/** Failures of the machine rather than of the program, in words that may be told. */
const systemFailures: Readonly<Record<string, readonly [code: ErrorCode, message: string]>> = {
  ENOSPC: ['NO_SPACE', 'There is no room left on the disk'],
  EDQUOT: ['NO_SPACE', 'There is no room left on the disk'],
  EMFILE: ['UNAVAILABLE', 'Too many files are open'],
  ENFILE: ['UNAVAILABLE', 'Too many files are open'],
  EROFS: ['INTERNAL', 'The disk is read-only'],
  EACCES: ['INTERNAL', 'The service has no permission for its own files'],
  EPERM: ['INTERNAL', 'The service has no permission for its own files'],
};

/** A failed system call as an error that may be shown, where it is one of those that an operator can mend. */
export function systemFailure(error: unknown): ServiceError | undefined {
  const [code, message] = systemFailures[systemCode(error) ?? ''] ?? [];
  return code && message !== undefined ? new ServiceError(code, message, { cause: error }) : undefined;
}

/** The code of whatever was thrown, as a client would be told it. */
export function codeOf(error: unknown): ErrorCode {
  return (error instanceof ServiceError ? error : systemFailure(error))?.code ?? 'INTERNAL';
}

/**
 * What may be told to a client about an error.
 * @param report is told what may not, for the log
 */
export function publicError(error: unknown, report: (line: string) => void): ServiceError {
  const known = error instanceof ServiceError ? error : systemFailure(error);
  if (known === undefined) {
    report(`internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return new ServiceError('INTERNAL', 'Something went wrong in the service; its log says what');
  }
  if (known.code === 'INTERNAL') report(`${known.message}: ${messageOf(known.cause)}`);
  return known;
}
