import { expect, test } from 'vitest';
import { SpaceState } from '../../../proto/quic/connection/space-state.ts';
import { PacketSpace } from '../../../proto/quic/recovery/index.ts';

const fresh = () => new SpaceState(PacketSpace.APPLICATION, 'application', 25);

test('probes are used up by ack-eliciting packets alone', () => {
  const space = fresh();
  space.queueProbes(2);
  space.onSent(false);
  expect(space.probes).toBe(2);
  space.onSent(true);
  space.onSent(true);
  space.onSent(true);
  expect(space.probes).toBe(0);
});

test('after 32 packets without anything to acknowledge an ACK gets a PING along (RFC 9000 §13.2.4)', () => {
  const space = fresh();
  space.ack.onPacketReceived(0, true, 0);
  for (let i = 0; i < 31; i++) space.onSent(false);
  space.queuePingAfterAckRun();
  expect(space.pingDue).toBe(false);
  space.onSent(false);
  space.queuePingAfterAckRun();
  expect(space.pingDue).toBe(true);
  space.onElicitingFrame();
  space.onSent(true);
  space.queuePingAfterAckRun();
  expect(space.pingDue).toBe(false);
});

test('the largest acknowledged number never falls', () => {
  const space = fresh();
  expect(space.largestAcked).toBe(-1);
  space.onAcked(9);
  space.onAcked(4);
  expect(space.largestAcked).toBe(9);
});

test('without keys nothing waits to be sent (RFC 9001 §4.9)', () => {
  const space = fresh();
  space.cryptoOut.write(new Uint8Array(10));
  space.cryptoIn.receive(10, new Uint8Array(50));
  space.queueProbes(2);
  expect(space.handshakeOctets).toBe(60);
  space.discard();
  expect(space.handshakeOctets).toBe(0);
  expect(space.cryptoOut.hasPending).toBe(false);
  expect(space.probes).toBe(0);
});
