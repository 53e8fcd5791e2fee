/** What went wrong, in the words of the domain. `http/reply.ts` alone turns a code into an HTTP status. */
export type ErrorCode =
  | 'BAD_REQUEST' // input that breaks a rule which the message names
  | 'FORBIDDEN' // understood, and not allowed here
  | 'NOT_FOUND'
  | 'METHOD_NOT_ALLOWED'
  | 'TIMEOUT' // the client took too long
  | 'EXISTS' // the name is taken
  | 'BUSY' // somebody else is writing this right now
  | 'IN_USE' // something depends on it
  | 'LENGTH_REQUIRED'
  | 'TOO_LARGE'
  | 'UNSUPPORTED_MEDIA_TYPE'
  | 'NOT_AN_ISO' // the bytes are no ISO 9660 volume
  | 'TRUNCATED' // an ISO shorter than it says it is
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
