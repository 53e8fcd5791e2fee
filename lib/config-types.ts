import type { Endpoint } from './config-keys.js';

// The README's table says what these comments say: after a change, `npm run readme`.

/** Every setting of the service, checked. Paths are absolute, times in milliseconds. */
export interface Config {
  /**
   * list of `address`, `port` and `routers`: `"northbound"`, `"southbound"` or a list of both; and `tls`, where it speaks
   * https: see Security
   */
  readonly httpEndpoints: readonly Endpoint[];
  /** the folder that the file server serves */
  readonly httpFileServiceRootDir: string;
  /** the URL path below which it serves */
  readonly httpFileServiceApiRoot: string;
  /** the store of ISOs */
  readonly isoDir: string;
  /** the store of microkernel files */
  readonly microkernelDir: string;
  /** the images */
  readonly inventoryFile: string;
  /** milliseconds that a request may take to arrive, and a connection in use may be silent */
  readonly httpTimeout: number;
  /** 0 debug, 1 info, 2 warning, 3 error, 4 critical errors only, 5 nothing; `etc/config.json` sets 1 */
  readonly minLogLevel: number;
  /** `text`: lines for people; `json`: a JSON object each line */
  readonly logFormat: 'text' | 'json';
  /** file that log lines are appended to beside standard output; opened anew at SIGHUP, for log rotation */
  readonly logFile: string | undefined;
  /** milliseconds that a request waits for an image that is not ready */
  readonly southboundWait: number;
  /** list of networks, such as `10.1.0.0/16`, whose machines the file server answers; `null`: any */
  readonly southboundAllow: readonly string[] | undefined;
  /** list of folders that `isolocal` may take from; `null`: any */
  readonly isoLocalDirs: readonly string[] | undefined;
  /**
   * list of hosts that `isoweb` may download from, and redirects lead to: `name`, `name:port`, `*.example.com` for all
   * below; `null`: any. A redirect from elsewhere to this machine itself needs its host in the list
   */
  readonly isoWebHosts: readonly string[] | undefined;
  /** file of signatures that go before those of `etc/systems.json`, which say how systems on ISOs are recognized */
  readonly systemsFile: string | undefined;
  /**
   * URL of the file server as machines reach it, for recipes and boot menus, such as `http://10.1.0.1:9090`; `null`: the
   * address that is asked
   */
  readonly publicUrl: string | undefined;
  /** `NAME/VERSION` of the image that the boot menu takes when nobody chooses; `null`: the newest */
  readonly bootDefault: string | undefined;
  /** milliseconds until it does; 0: never */
  readonly bootTimeout: number;
  /** file of certificates in PEM that https downloads trust beside the usual authorities */
  readonly tlsCaFile: string | undefined;
  /** file of the tokens and passwords of the management API; `null`: it needs none */
  readonly authFile: string | undefined;
  /** list of origins, such as `https://portal.example.com`, whose web pages may change things by the management API */
  readonly corsOrigins: readonly string[];
  /** bytes that an upload may have; `null`: what there is room for */
  readonly maxUploadBytes: number | undefined;
  /** free bytes of the stores below which the service says that it is not ready */
  readonly minFreeBytes: number;
  /** how many downloads run at a time, 1 to 100 */
  readonly downloads: number;
  /** milliseconds that an interrupted upload or download is kept to be continued */
  readonly uploadTtl: number;
  /** milliseconds that requests in flight get when the service stops */
  readonly stopTimeout: number;
  /** processes that serve the machines, 0 to 64; `null`: one for each processor, at most 4; 0: the main process does */
  readonly southboundWorkers: number;
  /**
   * name or number of the user that these run as when the service is started as root; `null`: `nobody`, where that user
   * can read the files
   */
  readonly user: string | undefined;
  /** bytes of files that are kept in memory for whoever asks next, in all processes together */
  readonly chunkCache: number;
  /** southbound connections that each process serves at a time */
  readonly maxConnections: number;
  /** bytes a second that one client address gets from the file server; 0: no limit */
  readonly rateLimit: number;
  readonly mount: MountConfig;
}

/** How ISOs become trees. */
export interface MountConfig {
  /**
   * `direct`, `loop`, `fuse` or `auto`: see Mount drivers. Keys of `mount` are members of an object,
   * `"mount": {"driver": "loop"}`
   */
  readonly driver: 'direct' | 'loop' | 'fuse' | 'auto';
  /** the folder of the mount points, of the service alone; made when a driver needs it */
  readonly dir: string;
  /** directory entries of an ISO that one request may have read */
  readonly maxEntries: number;
}
