import type { Endpoint, Router } from './config-keys.js';
import type { Config, MountConfig } from './config-types.js';

/** An endpoint as one may write it. */
export interface EndpointSettings extends Omit<Endpoint, 'routers' | 'tls'> {
  readonly routers: Router | readonly Router[];
  readonly tls?: Endpoint['tls'] | undefined;
}

/** What a key may be left out as, or set to none. */
type Written<T> = undefined extends T ? T | null : T | undefined;

/** The keys that are written in another way than they are read. */
interface WrittenOtherwise {
  readonly httpEndpoints: readonly EndpointSettings[] | undefined;
  readonly southboundWorkers: number | null | undefined;
  readonly user: string | number | null | undefined;
  readonly mount: { readonly [Key in keyof MountConfig]?: MountConfig[Key] | undefined } | undefined;
}

/** What the configuration file may hold, as a program writes it: every key can be left out. */
export type Settings = {
  readonly [Key in keyof Config]?: Key extends keyof WrittenOtherwise ? WrittenOtherwise[Key] : Written<Config[Key]>;
};
