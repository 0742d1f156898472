import type { SendStream, WebTransportSession } from '../webtransport/types.ts';
import type { SessionEnd } from './ending.ts';

/** The session that carries a call just now. */
export interface Carrier {
  readonly session: WebTransportSession;
  /** Writes a message to the control stream. */
  push(octets: Uint8Array): void;
  openStream(): Promise<SendStream>;
  /** The call is over: the page is told, and the session closed. Calls `Call.over`. */
  end(end: SessionEnd): void;
  /** Another session carries the call from now on. */
  supersede(): void;
}
