import { describe, expect, test, vi } from 'vitest';
import { RangeSet } from '../../../proto/quic/ack/index.ts';
import { CryptoReceiver } from '../../../proto/quic/connection/handshake/crypto-streams.ts';
import { decodeFrames } from '../../../proto/quic/frames/index.ts';
import { RecvStream } from '../../../proto/quic/streams/recv-stream.ts';
import { MessageBuffer } from '../../../proto/tls/codec.ts';
import { OctetBuffer, Queue, Reader, Writer } from '../../../proto/wire/index.ts';
import { liveServer } from '../../support/conformance-peer.ts';
import { expectLinear, MIB, repeated } from './support.ts';

/** The slowest takes about 4 s on a machine of its own. */
vi.setConfig({ testTimeout: 60_000 });

describe('wire', () => {
  test('varints of one octet', () => {
    expectLinear((octets) => {
      const reader = new Reader(new Uint8Array(octets));
      return () => {
        while (!reader.done) reader.varint();
      };
    });
  });

  test('a queue filled, then emptied', () => {
    expectLinear((items) => () => {
      const queue = new Queue<number>();
      for (let i = 0; i < items; i++) queue.push(i);
      for (let i = 0; i < items; i++) if (queue.shift() !== i) throw new Error('out of order');
    });
  });

  test('a buffer filled octet by octet', () => {
    const octet = Uint8Array.of(1);
    expectLinear((octets) => () => {
      const buffer = new OctetBuffer(octets);
      for (let i = 0; i < octets; i++) buffer.append(octet);
      expect(buffer.take()).toHaveLength(octets);
    });
  });
});

describe('QUIC', () => {
  test('packets of the smallest frames, decoded', () => {
    // PING, an empty STREAM frame, MAX_DATA.
    expectLinear((octets) => {
      const payload = repeated(1200, [0x01, 0x08, 0x00, 0x10, 0x00]);
      return () => {
        for (let done = 0; done < octets; done += payload.length) decodeFrames(payload, 'oneRtt', 'client');
      };
    });
  });

  test.each([
    ['PING', [0x01]],
    ['STREAM of no octets', [0x0a, 0x00, 0x00]],
    ['MAX_DATA', [0x10, 0x00]],
    ['MAX_STREAM_DATA', [0x11, 0x00, 0x00]],
    ['STREAMS_BLOCKED', [0x16, 0x00]],
    ['PATH_CHALLENGE', [0x1a, 1, 2, 3, 4, 5, 6, 7, 8]],
    ['an empty DATAGRAM', [0x31, 0x00]],
    ['an empty CRYPTO frame', [0x06, 0x00, 0x00]],
  ])('packets of %s, through a connection', (_name, frame) => {
    const payload = repeated(1000, frame);
    expectLinear((octets) => {
      const { engine, peer } = liveServer();
      const packets: Uint8Array[] = [];
      for (let done = 0; done < octets; done += payload.length)
        packets.push(peer.packet('oneRtt', [payload]));
      return () => {
        for (const packet of packets) {
          peer.push(packet);
          while (engine.connection.poll() !== undefined);
        }
        expect(engine.connection.closed).toBe(false);
      };
    });
  });

  test('one octet of a stream in each frame, through a connection', () => {
    expectLinear((octets) => {
      const { engine, peer } = liveServer({}, { initialMaxData: 4 * MIB, initialMaxStreamData: 4 * MIB });
      const packets: Uint8Array[] = [];
      const framesPerPacket = 120;
      for (let offset = 0; offset < octets / 8; offset += framesPerPacket) {
        const writer = Writer.growing(1400);
        // The last first: octets wait within the packet.
        for (let i = framesPerPacket - 1; i >= 0; i--)
          writer
            .u8(0x0e)
            .varint(0)
            .varint(offset + i, 4)
            .varint(1)
            .u8(0x61);
        packets.push(peer.packet('oneRtt', [writer.finish()]));
      }
      return () => {
        for (const packet of packets) {
          peer.push(packet);
          while (engine.connection.poll() !== undefined);
        }
        expect(engine.connection.closed).toBe(false);
      };
    });
  });

  test('handshake octets one by one, backwards in groups as large as is allowed', () => {
    // A CRYPTO frame of one octet takes about four.
    expectLinear((octets) => {
      const data = new Uint8Array(octets / 4);
      return () => {
        const receiver = new CryptoReceiver();
        let got = 0;
        for (let base = 0; base < data.length; base += 250)
          for (let at = Math.min(base + 250, data.length) - 1; at >= base; at--)
            for (const part of receiver.receive(at, data.subarray(at, at + 1))) got += part.length;
        expect(got).toBe(data.length);
      };
    });
  });

  test('handshake messages octet by octet', () => {
    expectLinear((octets) => {
      const message = new Uint8Array(65_536);
      message.set([1, 0, 0xff, 0xfc]);
      return () => {
        const buffer = new MessageBuffer();
        for (let i = 0; i < octets; i++) {
          buffer.append(message.subarray(i % 65_536, (i % 65_536) + 1));
          buffer.next();
        }
        expect(buffer.length).toBe(0);
      };
    });
  });

  test('every second octet of a stream first, as far as gaps are allowed', () => {
    expectLinear((octets) => {
      const octet = Uint8Array.of(1);
      const stream = new RecvStream(0, octets);
      return () => {
        for (let base = 0; base < octets; base += 2000) {
          const end = Math.min(base + 2000, octets);
          for (let at = base + 1; at < end; at += 2) stream.receive(at, octet, false);
          for (let at = base; at < end; at += 2)
            stream.receive(at, octet, at + 2 >= octets && at + 1 >= octets);
        }
        let got = 0;
        for (let chunk = stream.read(16_384); chunk !== undefined; chunk = stream.read(16_384))
          got += chunk.data.length;
        expect(got).toBe(octets);
      };
    });
  });

  test('ranges of packet numbers that grow from the top down, then go', () => {
    expectLinear((octets) => () => {
      const ranges = new RangeSet();
      for (let base = 0; base < octets; base += 256) {
        for (let i = 0; i < 64; i++) ranges.add(base + 2 * i, base + 2 * i + 1);
        while (!ranges.isEmpty) ranges.dropLowest();
      }
    });
  });
});
