import { directDriver } from '../../lib/mount/direct.js';
import { conformance } from '../fixtures/conformance.js';

conformance('direct', () => Promise.resolve(directDriver));
