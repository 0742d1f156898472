import type { Frame } from '../../../proto/quic/frames/index.ts';
import { Writer } from '../../../proto/wire/index.ts';
import type { Tape } from './tape.ts';

const CHUNK_OCTETS = 1000;

/** Stream IDs that are mostly ones in use. */
function streamId(tape: Tape): number {
  return tape.chance(85) ? tape.below(24) : tape.integer();
}

type Maker = (tape: Tape) => Frame;

const makers: readonly Maker[] = [
  (tape) => ({ type: 'padding', length: 1 + tape.below(200) }),
  () => ({ type: 'ping' }),
  (tape) => ack(tape),
  (tape) => ({
    type: 'resetStream',
    streamId: streamId(tape),
    code: tape.integer(),
    finalSize: tape.integer(),
  }),
  (tape) => resetAt(tape),
  (tape) => ({ type: 'stopSending', streamId: streamId(tape), code: tape.integer() }),
  (tape) => ({ type: 'crypto', offset: tape.integer(), data: tape.bytes(tape.below(300)) }),
  (tape) => ({ type: 'newToken', token: tape.bytes(tape.below(40)) }),
  (tape) => ({
    type: 'stream',
    streamId: streamId(tape),
    offset: tape.integer(),
    data: tape.bytes(tape.below(CHUNK_OCTETS)),
    fin: tape.chance(20),
  }),
  (tape) => ({ type: 'maxData', maximum: tape.integer() }),
  (tape) => ({ type: 'maxStreamData', streamId: streamId(tape), maximum: tape.integer() }),
  (tape) => ({ type: 'maxStreams', bidirectional: tape.chance(50), maximum: tape.integer() }),
  (tape) => ({ type: 'dataBlocked', limit: tape.integer() }),
  (tape) => ({ type: 'streamDataBlocked', streamId: streamId(tape), limit: tape.integer() }),
  (tape) => ({ type: 'streamsBlocked', bidirectional: tape.chance(50), limit: tape.integer() }),
  (tape) => newConnectionId(tape),
  (tape) => ({ type: 'retireConnectionId', sequence: tape.chance(80) ? tape.below(12) : tape.integer() }),
  (tape) => ({ type: 'pathChallenge', data: tape.bytes(8) }),
  (tape) => ({ type: 'pathResponse', data: tape.bytes(8) }),
  () => ({ type: 'handshakeDone' }),
  () => ({ type: 'immediateAck' }),
  (tape) => ackFrequency(tape),
  (tape) => ({ type: 'datagram', data: tape.bytes(tape.below(CHUNK_OCTETS)), frameOctets: 0 }),
];

function ack(tape: Tape): Frame {
  const ranges: { smallest: number; largest: number }[] = [];
  let largest = tape.chance(80) ? tape.below(64) : tape.integer();
  const count = 1 + tape.below(8);
  for (let i = 0; i < count && largest >= 0; i++) {
    const smallest = Math.max(0, largest - tape.below(6));
    ranges.push({ smallest, largest });
    largest = smallest - 2 - tape.below(4);
  }
  const ecn = tape.chance(20)
    ? { ect0: tape.integer(), ect1: tape.integer(), ce: tape.integer() }
    : undefined;
  return { type: 'ack', ranges, delay: tape.integer(), ecn };
}

/** Mostly sizes that are possible. */
function resetAt(tape: Tape): Frame {
  const reliableSize = tape.chance(80) ? tape.below(CHUNK_OCTETS) : tape.integer();
  // More cannot be written.
  const possible = (size: number) => Math.min(size, Number.MAX_SAFE_INTEGER);
  return {
    type: 'resetStreamAt',
    streamId: streamId(tape),
    code: tape.chance(70) ? 1 : tape.integer(),
    finalSize: tape.chance(80) ? possible(reliableSize + tape.below(CHUNK_OCTETS)) : tape.integer(),
    reliableSize,
  };
}

/** Mostly delays that may be asked for. */
function ackFrequency(tape: Tape): Frame {
  return {
    type: 'ackFrequency',
    sequence: tape.chance(80) ? tape.below(12) : tape.integer(),
    threshold: tape.chance(80) ? tape.below(12) : tape.integer(),
    maxAckDelayMicros: tape.chance(90) ? 1000 + tape.below(60_000) : tape.integer(),
    reorderingThreshold: tape.chance(80) ? tape.below(6) : tape.integer(),
  };
}

function newConnectionId(tape: Tape): Frame {
  const sequence = tape.chance(80) ? tape.below(12) : tape.integer();
  return {
    type: 'newConnectionId',
    sequence,
    retirePriorTo: tape.chance(90) ? tape.below(sequence + 1) : tape.integer(),
    connectionId: tape.bytes(tape.chance(90) ? 8 : tape.below(21)),
    statelessResetToken: tape.bytes(16),
  };
}

/** Any frame, its fields near what makes sense or far from it. CONNECTION_CLOSE, which ends the game, is rare. */
export function anyFrame(tape: Tape): Frame {
  if (tape.chance(1))
    return {
      type: 'connectionClose',
      application: tape.chance(50),
      code: tape.integer(),
      frameType: tape.integer(),
      reason: 'x'.repeat(tape.below(600)),
    };
  return tape.pick(makers)(tape);
}

/** Octets that stand where a frame should: an unknown type, a long form, a frame cut short or changed. */
export function anyOctets(tape: Tape, write: (writer: Writer, frame: Frame) => void): Uint8Array {
  if (tape.chance(30)) return tape.bytes(1 + tape.below(40));
  const writer = Writer.growing(2048);
  write(writer, anyFrame(tape));
  return tape.mutate(writer.finish().slice());
}
