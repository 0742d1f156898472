import { afterEach, describe, expect, test, vi } from 'vitest';
import { CapsuleParser } from '../../proto/http3/capsules.ts';
import { ControlStream } from '../../proto/http3/control-stream.ts';
import { Http3Error, Http3ErrorCode } from '../../proto/http3/errors.ts';
import { QuicConnection } from '../../proto/quic/connection/connection.ts';
import { LocalConnectionIds } from '../../proto/quic/connection/local-connection-ids.ts';
import { PathState } from '../../proto/quic/connection/paths.ts';
import { QuicEndpoint } from '../../proto/quic/index.ts';
import { StreamSet } from '../../proto/quic/streams/index.ts';
import { TicketSealer } from '../../proto/tls/tickets.ts';
import { DataStreams } from '../../proto/webtransport/streams.ts';
import { ResponseRun } from '../../server/realtime/local/response.ts';
import { Finding } from './support/tape.ts';
import { FUZZ_TARGETS } from './support/targets.ts';
import { outcomeOf, tapeOf } from './support/worker.ts';

const MAX_SEEDS = 150;

/** The promise that the first failing seed finds broken. */
function brokenPromise(name: string): string | undefined {
  const target = FUZZ_TARGETS[name]!;
  for (let seed = 1; seed <= MAX_SEEDS; seed++) {
    const outcome = outcomeOf(target, tapeOf(target, seed));
    if (outcome instanceof Finding) return outcome.oracle;
  }
  return undefined;
}

describe('a fault that is put in is found', () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test('a parser that throws an error of its own making', () => {
    vi.spyOn(CapsuleParser.prototype, 'push').mockImplementation(() => {
      throw new RangeError('out of range');
    });
    expect(brokenPromise('peer')).toBe('nothing throws across the face');
  });

  test('an error in the handling of a frame', () => {
    vi.spyOn(StreamSet.prototype, 'onMaxStreams').mockImplementation(() => {
      throw new TypeError('undefined is not a function');
    });
    expect(brokenPromise('peer')).toBe('no internal error');
  });

  test('a queue without a bound', () => {
    vi.spyOn(PathState.prototype, 'onChallenge').mockImplementation(function (this: PathState, data) {
      this.responses.push(data.slice());
    });
    expect(brokenPromise('peer')).toBe('memory is bounded');
  });

  test('CIDs that are never given back', () => {
    vi.spyOn(LocalConnectionIds.prototype, 'releaseAll').mockImplementation(() => {});
    expect(brokenPromise('peer')).toBe('silence ends a connection');
  });

  test('a deadline that is never met', () => {
    vi.spyOn(QuicConnection.prototype, 'onDeadline').mockImplementation(() => {});
    expect(brokenPromise('peer')).toBe('no deadline stays in the past');
  });

  test('an endless wish to send', () => {
    const endless = {
      data: new Uint8Array(50),
      path: { local: { host: '::', port: 1 }, remote: { host: '::', port: 1 } },
    };
    vi.spyOn(QuicEndpoint.prototype, 'transmit').mockImplementation(() => endless);
    expect(['transmit comes to an end', 'amplification']).toContain(brokenPromise('peer'));
  });

  test('a stream of a session that is over and is still talked about', () => {
    vi.spyOn(DataStreams.prototype, 'sessionGone').mockImplementation(() => []);
    expect(brokenPromise('web')).toBe('events come in order');
  });

  test('a frame that means nothing and is taken for a fault', () => {
    const { admit } = ControlStream.prototype;
    vi.spyOn(ControlStream.prototype, 'admit').mockImplementation(function (this: ControlStream, ...given) {
      if (given[0] > 0x21) throw new Http3Error(Http3ErrorCode.H3_FRAME_UNEXPECTED, 'injected');
      return admit.apply(this, given);
    });
    expect(brokenPromise('web')).toBe('a polite peer is not accused');
  });

  test('a ticket that is taken whatever its age', () => {
    vi.spyOn(TicketSealer.prototype, 'nowSeconds').mockReturnValue(1_800_000_000);
    expect(brokenPromise('resumption')).toBe('only good tickets are taken');
  });

  test('an answer that ends twice', () => {
    const { cancel } = ResponseRun.prototype;
    vi.spyOn(ResponseRun.prototype, 'cancel').mockImplementation(function (this: ResponseRun, reason) {
      cancel.call(this, reason);
      this.start();
    });
    expect(brokenPromise('realtime')).toBe('answers begin and end once');
  });

  test('an octet that is not the one that was sent', () => {
    const read = StreamSet.prototype.readStream;
    vi.spyOn(StreamSet.prototype, 'readStream').mockImplementation(function (this: StreamSet, ...given) {
      const taken = read.apply(this, given);
      if (taken !== undefined && taken.data.length > 500) taken.data[400]! ^= 1;
      return taken;
    });
    expect(brokenPromise('network')).toBe('every octet once and in order');
  });
});
