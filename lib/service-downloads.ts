import type { Config } from './config.js';
import type { DownloadPolicy } from './images/download.js';
import { readAuthorities } from './images/download-authorities.js';
import type { Settings } from './service-settings.js';
import { Slots } from './slots.js';

/** Milliseconds that the far end of a download may be silent. */
const idleTimeout = 60_000;

/** What downloads may do, by the settings in force. @throws ServiceError BAD_REQUEST: `tlsCaFile` cannot be used */
export async function downloadPolicy(settings: Settings): Promise<DownloadPolicy> {
  const read = ({ tlsCaFile }: Config) => (tlsCaFile === undefined ? undefined : readAuthorities(tlsCaFile));
  let ca = await read(settings.config);
  settings.onReload(async (next) => {
    const fresh = await read(next);
    return () => (ca = fresh);
  });
  return {
    idleTimeout,
    get hosts() {
      return settings.config.isoWebHosts;
    },
    get ca() {
      return ca;
    },
  };
}

/** As many downloads at a time as the settings in force say. */
export function downloadSlots(settings: Settings): Slots {
  const slots = new Slots(settings.config.downloads);
  settings.onReload((next) => () => slots.resize(next.downloads));
  return slots;
}
