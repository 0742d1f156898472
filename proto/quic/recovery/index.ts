export { CubicController } from './cubic.ts';
export { NewRenoController } from './newreno.ts';
export type { ReceivedAck } from './outcomes.ts';
export { Pacer } from './pacer.ts';
export { Recovery } from './recovery.ts';
export { INITIAL_RTT_MS, RttEstimator, type RttFigures } from './rtt.ts';
export type { SentPacket } from './sent-packets.ts';
export { PacketSpace } from './space.ts';
