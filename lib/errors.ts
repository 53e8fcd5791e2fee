/** What went wrong, in the words of the domain. `http/reply.ts` alone turns a code into an HTTP status. */
export type ErrorCode =
  | 'BAD_REQUEST' // input that breaks a rule which the message names
  | 'FORBIDDEN' // understood, and not allowed here
  | 'NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  | 'TIMEOUT' // the client took too long, or is gone
  | 'EXISTS' // the name is taken
  | 'BUSY' // somebody else is writing this right now
  | 'IN_USE' // something depends on it
  | 'LENGTH_REQUIRED'
  | 'TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
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

/** Whether a write failed because the disk, or its user's part of it, is full. */
export function isNoSpace(error: unknown): boolean {
  return systemCode(error) === 'ENOSPC' || systemCode(error) === 'EDQUOT';
}

/**
 * What may be told to a client about an error.
 * @param report is told what may not, for the log
 */
export function publicError(error: unknown, report: (line: string) => void): ServiceError {
  if (!(error instanceof ServiceError)) {
    report(`internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    return new ServiceError('INTERNAL', 'Something went wrong in the service; its log says what');
  }
  if (error.code === 'INTERNAL') report(`${error.message}: ${messageOf(error.cause)}`);
  return error;
}
