/** The one of the machines of `npm run test:boot` that is short enough for every run. */
import '../boot/bios-ipxe.js';
