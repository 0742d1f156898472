import type { Address, CloseReason } from '../../proto/quic/index.ts';
import type { AmplificationChecker } from './checkers/amplification.ts';
import type { CongestionChecker } from './checkers/congestion.ts';
import type { MemoryChecker } from './checkers/memory.ts';
import type { ResumptionChecker } from './checkers/resumption.ts';
import type { RoutingChecker } from './checkers/routing.ts';
import type { Network, Origin } from './network.ts';
import type { Schedule } from './schedule.ts';
import type { Trace } from './trace.ts';
import type { Call } from './workloads/call.ts';

/** What hosts share: the clock, the network, the checkers. */
export interface Setting {
  now: number;
  readonly seed: number;
  readonly schedule: Schedule;
  readonly network: Network;
  readonly trace: Trace;
  readonly routing: RoutingChecker;
  readonly amplification: AmplificationChecker;
  readonly congestion: CongestionChecker;
  readonly memory: MemoryChecker;
  readonly resumption: ResumptionChecker;
  /** The call that a client dials: by its server name, or by where it comes from when calls share a name. */
  callOf(serverName: string, remote: Address): Call | undefined;
  /** A connection of a call ended on the client's side. */
  onCallEnded(call: Call): void;
  /** A connection of a backend ended that belonged to no call: its handshake was never complete. */
  onUnmatchedEnded(backend: string, reason: CloseReason): void;
  /** For what is sent now. */
  origin(backendLife: number, client?: string): Origin;
  newLife(): number;
  /** Counts something that happened, by name. */
  meet(what: string): void;
}
