import type { EventStream } from '../http/event-stream.js';
import type { Handler } from '../http/router.js';
import type { Change, Changes, Transfer } from '../images/changes.js';
import type { Place } from '../images/facts.js';
import type { ImageRecord } from '../images/record.js';
import { fileRecord } from './files.js';
import { shown } from './images.js';
import { queryParameters } from './parameters.js';

/** Stores by the names of their resources. */
const storeOf: Readonly<Record<Place, string>> = { iso: 'iso', common: 'microkernel' };

export interface EventsResource {
  readonly stream: EventStream;
  readonly changes: Changes;
  /** Records of the images that are being downloaded to a file of the store of ISOs. */
  readonly downloading: (isoName: string) => readonly ImageRecord[];
}

/** Sends what changes to whoever reads `/events`. @returns the handler */
export function eventsHandler({ stream, changes, downloading }: EventsResource): Handler {
  /** Of the downloads under way, by the names of their files: at its end an image is no longer being downloaded. */
  const images = new Map<string, string>();
  const progress = ({ place, name, hasEnded, ...rest }: Transfer) => {
    const id = place === 'iso' ? downloading(name)[0]?.id : undefined;
    if (id !== undefined) images.set(name, id);
    const image = place === 'iso' ? images.get(name) : undefined;
    if (place === 'iso' && hasEnded) images.delete(name);
    const value = { store: storeOf[place], name, image, ...rest, ended: hasEnded };
    stream.publish('progress', value, `${place}/${name}`);
  };
  changes.subscribe((change: Change) => {
    switch (change.kind) {
      case 'image':
      case 'image-removed':
        stream.publish(change.kind, shown(change.record));
        break;
      case 'file': {
        const { place, file } = change;
        stream.publish('file', { store: storeOf[place], ...fileRecord(file, place === 'iso') });
        break;
      }
      case 'file-removed':
        stream.publish('file-removed', { store: storeOf[change.place], name: change.name });
        break;
      case 'progress':
        progress(change.transfer);
        break;
    }
  });
  return (exchange) => {
    queryParameters(exchange, []);
    stream.serve(exchange);
  };
}
