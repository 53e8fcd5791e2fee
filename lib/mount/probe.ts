import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { ServiceError, systemCode } from '../errors.js';

const sectorBytes = 2048;
/** ECMA-119 6.2.1: the system area, which is the writer's own, fills the first 16 sectors. */
const systemArea = 16 * sectorBytes;
/** Sectors: a volume recognition sequence is shorter (ECMA-167 2/8.3). */
const sequence = 64;

/** ISO 9660; the extended area of UDF, and UDF itself (ECMA-167 2/9, 3/9). */
const identifiers: ReadonlySet<string> = new Set(['CD001', 'BEA01', 'NSR02', 'NSR03']);

function irregular(): ServiceError {
  return new ServiceError('BAD_REQUEST', 'The ISO is not a regular file');
}

/**
 * Tells by content, in one read, whether a file can be an ISO at all; whether it is a good one shows when it is mounted.
 * @throws ServiceError BAD_REQUEST (not a regular file), NOT_AN_ISO; the system's errors (`ENOENT`, …)
 */
export async function probe(path: string): Promise<void> {
  // Without O_NONBLOCK a FIFO would hold a thread until somebody writes to it.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
  const file = await open(path, flags).catch((error: unknown) => {
    // open(2): the error for a socket, and for a device without a driver.
    throw systemCode(error) === 'ENXIO' ? irregular() : error;
  });
  try {
    if (!(await file.stat()).isFile()) throw irregular();
    const { buffer, bytesRead } = await file.read(
      Buffer.alloc(sequence * sectorBytes),
      0,
      sequence * sectorBytes,
      systemArea,
    );
    for (let at = 0; at + sectorBytes <= bytesRead; at += sectorBytes) {
      if (identifiers.has(buffer.toString('latin1', at + 1, at + 6))) return;
    }
  } finally {
    await file.close();
  }
  throw new ServiceError('NOT_AN_ISO', 'The file is not an ISO: it has no ISO 9660 or UDF volume descriptor');
}
