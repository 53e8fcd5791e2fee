import { ServiceError, systemCode } from '../errors.js';

/** A failure of the far end that may pass: the download is worth another try. BAD_GATEWAY or GATEWAY_TIMEOUT. */
export class TemporaryFailure extends ServiceError {
  /** @param retryAfter milliseconds that the far end asks to wait, when it does */
  constructor(
    code: 'BAD_GATEWAY' | 'GATEWAY_TIMEOUT',
    message: string,
    options?: { cause?: unknown },
    readonly retryAfter?: number,
  ) {
    super(code, message, options);
  }
}

const temporary: Readonly<Record<string, string>> = {
  EAI_AGAIN: 'its name cannot be resolved at the moment',
  ECONNREFUSED: 'it refuses the connection',
  ECONNRESET: 'it closed the connection',
  EPIPE: 'it closed the connection',
  EHOSTUNREACH: 'it cannot be reached',
  ENETUNREACH: 'it cannot be reached',
  ETIMEDOUT: 'it does not answer',
};

const lasting: Readonly<Record<string, string>> = {
  ENOTFOUND: 'its name is unknown',
  EPROTO: 'TLS cannot be negotiated with it',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed and not trusted',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority that is not trusted',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority that is not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an authority that is not trusted',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
};

export function isAbort(error: unknown): error is Error {
  return error instanceof Error && error.name === 'AbortError';
}

export function badGateway(message: string, cause?: unknown): ServiceError {
  return new ServiceError('BAD_GATEWAY', message, { cause });
}

/** @param idleTimeout milliseconds */
export function silent(host: string, idleTimeout: number): TemporaryFailure {
  return new TemporaryFailure('GATEWAY_TIMEOUT', `${host} was silent for ${idleTimeout / 1000} seconds`);
}

function reasonOf(code: string): string {
  if (code.startsWith('HPE_')) return 'its answer is not HTTP';
  if (code.startsWith('ERR_SSL_')) return 'TLS cannot be negotiated with it';
  return lasting[code] ?? (code === '' ? 'the connection failed' : `the connection failed with ${code}`);
}

/** What keeps a connection from answering, as an error that names the host; aborts and errors of ours stay what they are. */
export function inWords(host: string, error: unknown): Error {
  if (error instanceof ServiceError || isAbort(error)) return error;
  const code = systemCode(error) ?? '';
  const passing = temporary[code];
  if (passing === undefined) return badGateway(`Cannot download from ${host}: ${reasonOf(code)}`, error);
  return new TemporaryFailure('BAD_GATEWAY', `Cannot download from ${host}: ${passing}`, { cause: error });
}
