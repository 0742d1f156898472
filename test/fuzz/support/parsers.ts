import { CapsuleError, CapsuleParser, encodeCapsule } from '../../../proto/http3/capsules.ts';
import { ControlStream } from '../../../proto/http3/control-stream.ts';
import { FieldSectionTooLargeError, Http3Error, Http3StreamError } from '../../../proto/http3/errors.ts';
import { encodeFrame, FrameType } from '../../../proto/http3/frames.ts';
import { MessageStream } from '../../../proto/http3/message-stream.ts';
import { parseRequest, parseResponse } from '../../../proto/http3/messages.ts';
import {
  DecoderStreamReader,
  huffmanDecode,
  huffmanEncode,
  QpackDecoder,
} from '../../../proto/http3/qpack/index.ts';
import { decodeSettings } from '../../../proto/http3/settings.ts';
import { PacketHead, parseVersionNegotiation } from '../../../proto/invariants/index.ts';
import { decodeFrames } from '../../../proto/quic/frames/index.ts';
import { TransportError } from '../../../proto/quic/index.ts';
import { parsePacket, TokenCodec } from '../../../proto/quic/packet/index.ts';
import {
  decodeTransportParameters,
  encodeTransportParameters,
} from '../../../proto/quic/transport-parameters.ts';
import { decodeServerId, parseClusterFile, QuicLbDecoder } from '../../../proto/quic-lb/index.ts';
import { decodeSpp, encodeSpp } from '../../../proto/spp/index.ts';
import { readOffer } from '../../../proto/tls/client-hello.ts';
import { MessageBuffer } from '../../../proto/tls/codec.ts';
import { TlsAlertError, TlsClient, TlsServer } from '../../../proto/tls/index.ts';
import {
  readCertificate,
  readCertificateRequest,
  readCertificateVerify,
  readClientHello,
  readEncryptedExtensions,
  readFinished,
  readNewSessionTicket,
  readServerHello,
} from '../../../proto/tls/messages.ts';
import { inspectCertificate } from '../../../proto/tls/x509.ts';
import {
  AnswerHeaderDecoder,
  encodeMessage,
  MessageDecoder,
  MicrophoneHeaderDecoder,
  parseClientMessage,
  parseServerMessage,
  VoiceProtocolError,
} from '../../../proto/voice/index.ts';
import { decodeClose, encodeClose } from '../../../proto/webtransport/close-capsule.ts';
import { concat, parseAddress, parseIp, Reader, WireError, Writer } from '../../../proto/wire/index.ts';
import { seededRandom, testCertificate } from '../../support/quic-fixtures.ts';
import { writeFrame } from '../../support/write-frame.ts';
import { helloRecord, readHelloRecords } from './hello-records.ts';
import { anyFrame } from './hostile-frames.ts';
import { controlStream, headers, http3Frame, settings } from './hostile-http3.ts';
import { Finding, type Tape } from './tape.ts';

type ErrorClass = abstract new (...args: never[]) => Error;

/** A parser of octets that others send. */
export interface FuzzedParser {
  /** What it reads, mostly well formed. */
  readonly sample: (tape: Tape) => Uint8Array;
  readonly parse: (octets: Uint8Array) => void;
  /** The only errors that it may throw. */
  readonly errors: readonly ErrorClass[];
}

const CLUSTER = JSON.stringify({
  quicLb: [
    {
      configRotation: 1,
      serverIdLength: 2,
      nonceLength: 6,
      key: '8f95f09245765f80256934e50c66207f',
      firstOctetEncodesLength: true,
    },
  ],
  routingKey: '11'.repeat(32),
  statelessResetKey: '22'.repeat(32),
  backends: [{ name: 'one', serverId: '0001', tunnel: '10.0.1.1:5001' }],
  forwarders: ['10.0.0.1', '::1'],
});
const LB_CONFIGS = [
  { configRotation: 0, serverIdLength: 3, nonceLength: 4, firstOctetEncodesLength: false },
  {
    configRotation: 1,
    serverIdLength: 8,
    nonceLength: 8,
    key: new Uint8Array(16),
    firstOctetEncodesLength: true,
  },
  {
    configRotation: 2,
    serverIdLength: 2,
    nonceLength: 9,
    key: new Uint8Array(16),
    firstOctetEncodesLength: false,
  },
];
const lbDecoder = new QuicLbDecoder(LB_CONFIGS, [
  new Map([
    [0, Uint8Array.of(1, 2, 3)],
    [1, new Uint8Array(8)],
    [2, Uint8Array.of(1, 2)],
  ]),
]);
const tokens = new TokenCodec(new Uint8Array(32), seededRandom(1));
const CLIENT = { host: '192.0.2.1', port: 5000 };
const HTTP3_ERRORS = [Http3Error, Http3StreamError, FieldSectionTooLargeError];
const text = new TextDecoder();
const latin = (octets: Uint8Array): string => Buffer.from(octets).toString('latin1');

function packetOctets(tape: Tape): Uint8Array {
  const long = tape.pick([0xc0, 0xd0, 0xe0, 0xf0, 0x80]);
  if (tape.chance(30)) return concat([Uint8Array.of(0x40 | tape.below(64)), tape.bytes(tape.below(80))]);
  const writer = Writer.growing(256)
    .u8(long | tape.below(16))
    .u32(tape.pick([1, 1, 1, 0, 0x1a2a3a4a]));
  for (let i = 0; i < 2; i++) {
    const id = tape.bytes(tape.chance(90) ? tape.below(21) : tape.below(256));
    writer.u8(id.length).bytes(id);
  }
  if (long === 0xc0) writer.varint(3).zeros(3);
  const body = tape.bytes(tape.below(100));
  return writer.varint(body.length).bytes(body).finish();
}

function frameOctets(tape: Tape): Uint8Array {
  const writer = Writer.growing(512);
  for (let i = tape.below(5); i >= 0; i--) writeFrame(writer, anyFrame(tape));
  return writer.finish();
}

/** A whole handshake's messages of one side, made once. */
const handshake = (() => {
  const random = seededRandom(9);
  const parameters = encodeTransportParameters({ initialSourceConnectionId: new Uint8Array(8) });
  const common = { random, alpnProtocols: ['h3'], transportParameters: parameters };
  const client = new TlsClient({ ...common, serverName: 'localhost', nowEpochMs: 0, trust: { kind: 'any' } });
  const server = new TlsServer({ ...common, certificates: [testCertificate] });
  const messages: Uint8Array[] = [];
  for (let event = client.poll(); event !== undefined; event = client.poll()) {
    if (event.type !== 'send') continue;
    messages.push(event.data);
    server.receive('initial', event.data);
  }
  for (let event = server.poll(); event !== undefined; event = server.poll())
    if (event.type === 'send') messages.push(event.data);
  const certificate = testCertificate.chain[0]!;
  return { messages, clientHello: messages[0]!, certificate };
})();

function readHandshake(octets: Uint8Array): void {
  const buffer = new MessageBuffer();
  buffer.append(octets);
  const readers = [
    readClientHello,
    readServerHello,
    readEncryptedExtensions,
    readCertificate,
    readCertificateVerify,
    readCertificateRequest,
    readFinished,
    readNewSessionTicket,
  ];
  for (let message = buffer.next(); message !== undefined; message = buffer.next()) {
    for (const read of readers) {
      try {
        const value = read(message);
        if (read === readClientHello) readOffer(value as ReturnType<typeof readClientHello>);
      } catch (error) {
        if (!(error instanceof TlsAlertError || error instanceof WireError)) throw error;
      }
    }
  }
}

function requestStream(octets: Uint8Array, weAreServer: boolean): void {
  const stream = new MessageStream(0, weAreServer, 'GET', 0x41, 16_384);
  for (let at = 0; at < octets.length; at += 7) {
    stream.parser.push(octets.subarray(at, at + 7));
    for (let piece = stream.parser.next(); piece !== undefined; piece = stream.parser.next());
  }
}

const voiceMessage = (tape: Tape): Uint8Array =>
  tape.chance(50)
    ? encodeMessage(
        tape.pick([
          { type: 'parley.hello', protocol: 1, codecs: ['pcm16'] },
          {
            type: 'parley.playback.position',
            itemId: 'a',
            contentIndex: 0,
            playedMs: 1,
            playedSamples: 24,
            cleared: true,
          },
          { type: 'parley.microphone', stretch: 0, firstSample: 0, codec: 'pcm16', rate: 24000, startMs: 0 },
          {
            type: 'parley.answer',
            responseId: 'r',
            itemId: 'i',
            contentIndex: 0,
            outputIndex: 0,
            codec: 'pcm16',
            rate: 24000,
          },
          { type: '__proto__' },
          { type: 'response.create' },
        ]),
      )
    : concat([Uint8Array.of(0x40, 20), tape.bytes(20)]);

const quic: Readonly<Record<string, FuzzedParser>> = {
  'packet headers': {
    sample: packetOctets,
    parse: (octets) => {
      for (const length of [0, 8, 20]) parsePacket(octets, 0, length);
    },
    errors: [],
  },
  'frames of every packet type': {
    sample: frameOctets,
    parse: (octets) => {
      for (const type of ['initial', 'zeroRtt', 'handshake', 'oneRtt'] as const) {
        try {
          decodeFrames(octets, type, 'server');
        } catch (error) {
          if (!(error instanceof TransportError)) throw error;
        }
      }
      decodeFrames(octets, 'oneRtt', 'client');
    },
    errors: [TransportError],
  },
  'transport parameters': {
    sample: (tape) =>
      encodeTransportParameters({
        initialSourceConnectionId: tape.bytes(tape.below(21)),
        originalDestinationConnectionId: tape.bytes(8),
        initialMaxData: tape.integer(),
        maxIdleTimeoutMs: tape.integer(),
        initialMaxStreamsBidi: tape.below(1000),
      }),
    parse: (octets) => {
      try {
        decodeTransportParameters(octets, 'client');
      } catch (error) {
        if (!(error instanceof TransportError)) throw error;
      }
      decodeTransportParameters(octets, 'server');
    },
    errors: [TransportError],
  },
  'address tokens': {
    sample: (tape) =>
      tape.chance(50)
        ? tokens.sealNewToken(CLIENT, 1000)
        : tokens.sealRetry(
            {
              originalDestinationConnectionId: tape.bytes(8),
              retrySourceConnectionId: tape.bytes(8),
              steered: tape.chance(50),
            },
            CLIENT,
            1000,
          ),
    parse: (octets) => {
      tokens.open(octets, CLIENT, 2000, { retry: 5000, newToken: 5000 });
      tokens.isRetry(octets);
    },
    errors: [],
  },
  'handshake messages': {
    sample: (tape) => tape.pick(handshake.messages),
    parse: readHandshake,
    errors: [TlsAlertError, WireError],
  },
  'a ClientHello at the server': {
    sample: () => handshake.clientHello,
    parse: (octets) => {
      const parameters = new Uint8Array(0);
      const server = new TlsServer({
        random: seededRandom(3),
        alpnProtocols: ['h3'],
        transportParameters: parameters,
        certificates: [testCertificate],
      });
      server.receive('initial', octets);
      while (server.poll() !== undefined);
    },
    errors: [TlsAlertError],
  },
  'X.509 certificates': {
    sample: () => handshake.certificate,
    parse: (octets) => void inspectCertificate(octets),
    errors: [WireError],
  },
};

const http: Readonly<Record<string, FuzzedParser>> = {
  'QPACK field sections': {
    sample: headers,
    parse: (octets) => {
      const decoded = new QpackDecoder(0).decode(0, octets, 16_384);
      if (decoded.kind !== 'fields') return;
      for (const parse of [parseRequest, parseResponse]) {
        try {
          parse(decoded.fields);
        } catch (error) {
          if (!HTTP3_ERRORS.some((kind) => error instanceof kind)) throw error;
        }
      }
    },
    errors: HTTP3_ERRORS,
  },
  'the QPACK encoder stream with a table': {
    sample: (tape) => concat([Uint8Array.of(0x3f, 0x81, 0x01), tape.bytes(tape.below(60))]),
    parse: (octets) => {
      const decoder = new QpackDecoder(4096);
      for (let at = 0; at < octets.length; at += 5) decoder.encoderOctets(octets.subarray(at, at + 5));
      if (decoder.tableSizeOctets > 4096) throw new Error(`the table has ${decoder.tableSizeOctets} octets`);
    },
    errors: HTTP3_ERRORS,
  },
  'the QPACK decoder stream': {
    sample: (tape) => concat([Uint8Array.of(0x40 | tape.below(63)), tape.bytes(tape.below(4))]),
    parse: (octets) => new DecoderStreamReader().octets(octets),
    errors: HTTP3_ERRORS,
  },
  'Huffman codes': {
    sample: (tape) => huffmanEncode(latin(tape.bytes(tape.below(40)))),
    parse: (octets) => void huffmanDecode(octets),
    errors: [],
  },
  SETTINGS: { sample: settings, parse: (octets) => void decodeSettings(octets), errors: [Http3Error] },
  'the control stream': {
    sample: (tape) => concat([controlStream().subarray(1), http3Frame(tape)]),
    parse: (octets) => {
      const stream = new ControlStream(true, 0x41, { onSettings: () => {}, onGoAway: () => {} });
      for (let at = 0; at < octets.length; at += 3) stream.octets(octets.subarray(at, at + 3));
    },
    errors: [Http3Error],
  },
  'request streams': {
    sample: (tape) =>
      concat([encodeFrame(FrameType.HEADERS, headers(tape)), http3Frame(tape), http3Frame(tape)]),
    parse: (octets) => {
      try {
        requestStream(octets, true);
      } catch (error) {
        if (!HTTP3_ERRORS.some((kind) => error instanceof kind)) throw error;
      }
      requestStream(octets, false);
    },
    errors: HTTP3_ERRORS,
  },
  capsules: {
    sample: (tape) =>
      concat([encodeCapsule(tape.integer(), tape.bytes(tape.below(50))), encodeClose(7, 'bye')]),
    parse: (octets) => {
      const parser = new CapsuleParser((type) => (type === 0x2843 ? 1028 : type % 2 === 0 ? 64 : undefined));
      for (let at = 0; at < octets.length; at += 9)
        for (const { value } of parser.push(octets.subarray(at, at + 9))) decodeClose(value);
    },
    errors: [CapsuleError],
  },
};

const rest: Readonly<Record<string, FuzzedParser>> = {
  cursors: {
    sample: (tape) => tape.bytes(tape.below(60)),
    parse: (octets) => {
      const reader = new Reader(octets);
      while (!reader.done) {
        const kind = reader.u8() % 32;
        if (kind === 0) reader.varint();
        else if (kind === 1) reader.u64();
        else if (kind === 2) reader.utf8(reader.u8());
        else if (kind === 3) reader.sub(reader.varint());
        else if (kind === 4) reader.skip(reader.u16());
        else if (kind === 5) reader.u24();
        else if (kind === 6) reader.bytes(reader.u8() & 7);
      }
    },
    errors: [WireError],
  },
  'addresses in text': {
    sample: (tape) =>
      new TextEncoder().encode(tape.pick(['10.0.0.1:80', '[::1]:443', '::ffff:1.2.3.4', '1::2%3'])),
    parse: (octets) => {
      parseAddress(latin(octets));
      parseIp(latin(octets));
    },
    errors: [],
  },
  'what every version shows': {
    sample: packetOctets,
    parse: (octets) => {
      new PacketHead().parse(octets);
      parseVersionNegotiation(octets);
    },
    errors: [],
  },
  'SNI over TCP': { sample: () => helloRecord(handshake.clientHello), parse: readHelloRecords, errors: [] },
  SPP: {
    sample: (tape) =>
      encodeSpp(
        { clientHost: '192.0.2.1', clientPort: 5, proxyHost: '2001:db8::1', proxyPort: 6 },
        tape.bytes(tape.below(40)),
      ),
    parse: (octets) => void decodeSpp(octets),
    errors: [],
  },
  'connection IDs': {
    sample: (tape) => tape.bytes(tape.below(24)),
    parse: (octets) => {
      lbDecoder.decode(octets, 0, octets.length, true);
      lbDecoder.decode(octets, 0, octets.length, false);
      for (const config of LB_CONFIGS) decodeServerId(config, octets);
    },
    errors: [],
  },
  'the cluster file': {
    sample: () => new TextEncoder().encode(CLUSTER),
    parse: (octets) => {
      const result = parseClusterFile(text.decode(octets));
      if (!result.ok && result.faults.length === 0) throw new Error('refused without a fault');
    },
    errors: [],
  },
  'voice messages': {
    sample: (tape) => concat([voiceMessage(tape), voiceMessage(tape)]),
    parse: (octets) => {
      const decoder = new MessageDecoder();
      for (let at = 0; at < octets.length; at += 11) {
        decoder.push(octets.subarray(at, at + 11));
        for (let message = decoder.next(); message !== undefined; message = decoder.next()) {
          parseClientMessage(message);
          parseServerMessage(message);
        }
      }
    },
    errors: [VoiceProtocolError],
  },
  'voice stream headers': {
    sample: (tape) => concat([voiceMessage(tape), tape.bytes(40)]),
    parse: (octets) => {
      for (const decoder of [new MicrophoneHeaderDecoder(), new AnswerHeaderDecoder()]) {
        try {
          for (let at = 0; at < octets.length; at += 13) decoder.push(octets.subarray(at, at + 13));
        } catch (error) {
          if (!(error instanceof VoiceProtocolError)) throw error;
        }
      }
    },
    errors: [VoiceProtocolError],
  },
};

export const PARSERS: Readonly<Record<string, FuzzedParser>> = { ...quic, ...http, ...rest };

/** Parses and lets only the parser's own errors pass; says whether it took the octets. */
export function parseTyped(name: string, octets: Uint8Array): boolean {
  const before = Buffer.from(octets);
  const taken = takes(name, octets);
  if (!before.equals(octets)) throw new Finding('what is parsed stays as it came', name);
  return taken;
}

function takes(name: string, octets: Uint8Array): boolean {
  const { parse, errors } = PARSERS[name]!;
  try {
    parse(octets);
    return true;
  } catch (error) {
    if (errors.some((kind) => error instanceof kind)) return false;
    throw new Finding('only typed errors', `${name}: ${String(error)}`, error);
  }
}

/** One run over all parsers: samples, samples changed, and octets out of nowhere. */
export function parseAll(tape: Tape): string {
  const names = Object.keys(PARSERS);
  let taken = 0;
  while (!tape.ended) {
    const name = tape.pick(names);
    const sample = PARSERS[name]!.sample(tape);
    const octets = tape.chance(10)
      ? sample
      : tape.chance(90)
        ? tape.mutate(sample)
        : tape.bytes(tape.below(3000));
    if (parseTyped(name, octets)) taken += 1;
  }
  return taken > 0 ? 'parsed' : 'refused';
}
