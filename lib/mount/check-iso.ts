import { ServiceError } from '../errors.js';
import { openIsoFile } from './iso-file.js';

const sectorBytes = 2048;
/** ECMA-119 6.2.1: the system area, which is the writer's own, fills the first 16 sectors. */
const systemArea = 16 * sectorBytes;
/** Bytes: a volume recognition sequence is shorter (ECMA-167 2/8.3). */
const sequence = 64 * sectorBytes;

/** ISO 9660; the extended area of UDF, and UDF itself (ECMA-167 2/9, 3/9). */
const identifiers: ReadonlySet<string> = new Set(['CD001', 'BEA01', 'NSR02', 'NSR03']);

/**
 * Tells by content, in one read, whether a file can be an ISO at all; whether it is a good one shows when it is mounted.
 * @throws ServiceError NOT_AN_ISO, and the errors of `openIsoFile`
 */
export async function checkIso(path: string): Promise<void> {
  const file = await openIsoFile(path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(sequence), 0, sequence, systemArea);
    for (let at = 0; at + sectorBytes <= bytesRead; at += sectorBytes) {
      if (identifiers.has(buffer.toString('latin1', at + 1, at + 6))) return;
    }
  } finally {
    await file.close();
  }
  throw new ServiceError('NOT_AN_ISO', 'The file is not an ISO: it has no ISO 9660 or UDF volume descriptor');
}
