import { AckTracker } from '../../proto/quic/ack/index.ts';
import { LocalConnectionIds } from '../../proto/quic/connection/ids/local-connection-ids.ts';
import { PathState } from '../../proto/quic/connection/path/paths.ts';
import { QuicConnection, TransportError, TransportErrorCode } from '../../proto/quic/index.ts';
import { Recovery } from '../../proto/quic/recovery/index.ts';
import { ConnectionFlow } from '../../proto/quic/streams/flow.ts';
import { StreamSet } from '../../proto/quic/streams/index.ts';
import { RecvStream } from '../../proto/quic/streams/recv-stream.ts';
import { SendStream } from '../../proto/quic/streams/send-stream.ts';
import { QuicLbDecoder } from '../../proto/quic-lb/index.ts';
import { TicketSealer } from '../../proto/tls/tickets.ts';
import { PlainRequests } from '../../proto/webtransport/plain-requests.ts';
import { Sessions } from '../../proto/webtransport/sessions.ts';
import { DataStreams } from '../../proto/webtransport/streams.ts';
import type { Invariant } from './violation.ts';

/** A bug that is put into the engine to see whether the simulator finds it. */
export interface Injection {
  /** What is wrong, as a bug report would say it. */
  readonly bug: string;
  /** The invariant that must be seen broken. */
  readonly breaks: Invariant;
  /** Puts the bug in; gives what takes it out again. */
  readonly inject: () => () => void;
}

/** Replaces a method of a class. `make` is given the right one. */
export function replace<T extends object, K extends keyof T & string>(
  prototype: T,
  name: K,
  make: (right: T[K]) => T[K],
): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name)!;
  Object.defineProperty(prototype, name, { ...descriptor, value: make(prototype[name]) });
  return () => Object.defineProperty(prototype, name, descriptor);
}

function replaceGetter<T extends object>(prototype: T, name: keyof T & string, value: unknown): () => void {
  const descriptor = Object.getOwnPropertyDescriptor(prototype, name)!;
  Object.defineProperty(prototype, name, { ...descriptor, get: () => value });
  return () => Object.defineProperty(prototype, name, descriptor);
}

/** One bug at least for each invariant. */
export const INJECTIONS = {
  'octets-swapped': {
    bug: 'now and then a read gives its last two octets in the wrong order',
    breaks: 'streams',
    inject: () => {
      let reads = 0;
      return replace(
        RecvStream.prototype,
        'read',
        (right) =>
          function (this: RecvStream, maxOctets) {
            const taken = right.call(this, maxOctets);
            const end = taken?.data.length ?? 0;
            reads += 1;
            if (taken === undefined || end < 2 || reads % 5 !== 0) return taken;
            const data = taken.data.slice();
            [data[end - 2], data[end - 1]] = [data[end - 1]!, data[end - 2]!];
            return { ...taken, data };
          },
      );
    },
  },
  'reset-code-lost': {
    bug: 'a RESET_STREAM is told to the application with another code',
    breaks: 'streams',
    inject: () =>
      replace(
        StreamSet.prototype,
        'onResetStream',
        (right) =>
          function (this: StreamSet, id, code, size) {
            right.call(this, id, code + 1, size);
          },
      ),
  },
  'final-size-ignored': {
    bug: 'a stream is ended as soon as all octets so far are read, whatever its final size',
    breaks: 'streams',
    inject: () =>
      replace(
        RecvStream.prototype,
        'read',
        (right) =>
          function (this: RecvStream, maxOctets) {
            const taken = right.call(this, maxOctets);
            return taken === undefined ? undefined : { data: taken.data, fin: true };
          },
      ),
  },
  'duplicates-processed': {
    bug: 'a packet that comes twice is processed twice',
    breaks: 'datagrams',
    inject: () => replace(AckTracker.prototype, 'isDuplicate', () => () => false),
  },
  'web-code-shifted': {
    bug: 'a stream of a session is reset with the code after the one that was given',
    breaks: 'streams',
    inject: () =>
      replace(
        DataStreams.prototype,
        'reset',
        (right) =>
          function (this: DataStreams, streamId, code) {
            right.call(this, streamId, (code + 1) >>> 0);
          },
      ),
  },
  'close-code-lost': {
    bug: 'a session is closed with code 0, whatever code was given',
    breaks: 'sessions',
    inject: () =>
      replace(
        Sessions.prototype,
        'close',
        (right) =>
          function (this: Sessions, sessionId, _code, reason) {
            right.call(this, sessionId, 0, reason);
          },
      ),
  },
  'drain-forgotten': {
    bug: 'a session that is to be drained is not told so',
    breaks: 'sessions',
    inject: () => replace(Sessions.prototype, 'drain', () => () => {}),
  },
  'answer-crossed': {
    bug: 'an answer to a plain request has the octets of the one before it',
    breaks: 'requests',
    inject: () => {
      let before: Uint8Array = new Uint8Array(1);
      return replace(
        PlainRequests.prototype,
        'respond',
        (right) =>
          function (this: PlainRequests, streamId, status, headers, body) {
            right.call(this, streamId, status, headers, before);
            before = body;
          },
      );
    },
  },
  'session-streams-left': {
    bug: 'the streams of a session that is over are forgotten and not ended',
    breaks: 'leftovers',
    inject: () => {
      let mute = false;
      const muted = (right: (streamId: number, code: number) => void) =>
        function (this: QuicConnection, streamId: number, code: number): void {
          if (!mute) right.call(this, streamId, code);
        };
      const undo = [
        replace(QuicConnection.prototype, 'resetStream', muted),
        replace(QuicConnection.prototype, 'stopSending', muted),
        replace(
          DataStreams.prototype,
          'sessionGone',
          (right) =>
            function (this: DataStreams, sessionId, code) {
              mute = true;
              const unread = right.call(this, sessionId, code);
              mute = false;
              return unread;
            },
        ),
      ];
      return () => {
        for (const takeOut of undo) takeOut();
      };
    },
  },
  'tickets-refused': {
    bug: 'good tickets are not opened',
    breaks: 'resumption',
    inject: () => replace(TicketSealer.prototype, 'open', () => () => undefined),
  },
  'retirement-refused': {
    bug: 'every RETIRE_CONNECTION_ID is taken for a violation',
    breaks: 'endings',
    inject: () =>
      replace(LocalConnectionIds.prototype, 'retire', () => () => {
        throw new TransportError(TransportErrorCode.PROTOCOL_VIOLATION, 'injected', 0x19);
      }),
  },
  'route-to-neighbour': {
    bug: 'one routable packet in twenty goes to the next backend',
    breaks: 'routing',
    inject: () => {
      let packets = 0;
      return replace(
        QuicLbDecoder.prototype,
        'decode',
        (right) =>
          function (this: QuicLbDecoder, data, at, length, known) {
            const backend = right.call(this, data, at, length, known);
            packets += 1;
            return backend > 0 && packets % 20 === 0 ? backend - 1 : backend;
          },
      );
    },
  },
  'no-amplification-limit': {
    bug: 'an address that is not validated is sent as much as there is',
    breaks: 'amplification',
    inject: () => replaceGetter(PathState.prototype, 'allowance', Number.POSITIVE_INFINITY),
  },
  'window-ignored': {
    bug: 'the congestion window never stops a packet',
    breaks: 'congestion',
    inject: () => replace(Recovery.prototype, 'canSend', () => () => true),
  },
  'connection-leaked': {
    bug: 'a connection that is over is never forgotten',
    breaks: 'memory',
    inject: () => replaceGetter(QuicConnection.prototype, 'finished', false),
  },
  'flow-control-off': {
    bug: 'neither side minds flow control',
    breaks: 'memory',
    inject: () => {
      const undo = [
        replaceGetter(ConnectionFlow.prototype, 'credit', Number.POSITIVE_INFINITY),
        replace(ConnectionFlow.prototype, 'onReceived', () => () => {}),
        replace(
          SendStream.prototype,
          'canSend',
          (right) =>
            function (this: SendStream, credit) {
              this.raiseLimit(Number.MAX_SAFE_INTEGER);
              return right.call(this, credit);
            },
        ),
        replace(
          RecvStream.prototype,
          'growthTo',
          () =>
            function (this: RecvStream, end) {
              return Math.max(0, end - this.highest);
            },
        ),
      ];
      return () => {
        for (const takeOut of undo.reverse()) takeOut();
      };
    },
  },
  'timer-stuck': {
    bug: 'the loss timer runs out and nothing happens',
    breaks: 'deadlines',
    inject: () => replace(Recovery.prototype, 'onDeadline', () => () => ({ type: 'none' })),
  },
  'loss-forgotten': {
    bug: 'octets of a lost packet are never sent again',
    breaks: 'progress',
    inject: () => replace(SendStream.prototype, 'onLost', () => () => {}),
  },
  'router-throws': {
    bug: 'the forwarder throws at a short header whose CID names no backend',
    breaks: 'engine',
    inject: () =>
      replace(
        QuicLbDecoder.prototype,
        'decode',
        (right) =>
          function (this: QuicLbDecoder, data, at, length, known) {
            const backend = right.call(this, data, at, length, known);
            if (backend < 0 && !known) throw new RangeError('no such backend');
            return backend;
          },
      ),
  },
} as const satisfies Record<string, Injection>;

export type InjectionName = keyof typeof INJECTIONS;
