import { attack } from './adversary.ts';
import { disturb } from './hostile-network.ts';
import { converse } from './hostile-realtime.ts';
import { resume } from './hostile-resumption.ts';
import { attackWeb } from './hostile-web.ts';
import { parseAll } from './parsers.ts';
import type { Tape } from './tape.ts';

export interface FuzzTarget {
  /** Octets of a tape: 64 to this many. */
  readonly maxTapeOctets: number;
  /** Runs one tape and says in a few words how it ended. Throws a `Finding` when a promise does not hold. */
  readonly run: (tape: Tape) => string;
}

export const FUZZ_TARGETS: Readonly<Record<string, FuzzTarget>> = {
  /** A peer with the keys and no manners against an endpoint, HTTP/3 and WebTransport upon it; either role. */
  peer: { maxTapeOctets: 2500, run: attack },
  /** Two honest sides over a network that does everything but open packets, with the forwarder's routing on the way. */
  network: { maxTapeOctets: 3000, run: disturb },
  /** A side with our own engine that speaks HTTP/3 and WebTransport in unexpected orders; either role. */
  web: { maxTapeOctets: 2500, run: attackWeb },
  /** TLS handshakes that offer tickets, well kept or not, to servers with the same secret or another. */
  resumption: { maxTapeOctets: 800, run: resume },
  /** The local realtime service's session and a client whose events come in any order. */
  realtime: { maxTapeOctets: 2000, run: converse },
  /** Each parser by itself, with samples, samples changed, and octets out of nowhere. */
  parsers: { maxTapeOctets: 1500, run: parseAll },
};
