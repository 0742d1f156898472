import { randomBytes } from 'node:crypto';
import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { type Address, type Datagram, QuicEndpoint, type QuicEvent } from '../../proto/quic/index.ts';
import { deriveTunnelKeys } from '../../proto/quic-lb/index.ts';
import { TunnelEnd } from '../../proto/spp/index.ts';
import {
  AnswerHeaderDecoder,
  encodeHeader,
  encodeMessage,
  encodeOpusPackets,
  isNumbered,
  MessageDecoder,
  type MicrophoneCodec,
  OPUS_CODEC,
  OPUS_PACKET_SAMPLES,
  OpusReader,
  SAMPLE_RATE,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from '../../proto/voice/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../proto/webtransport/index.ts';
import { createOpusEncoder } from '../../server/bridge/opus.ts';
import { EndpointDriver, openPublicSocket, type PacketSocket } from '../../server/net/index.ts';
import { answerParent } from './child.ts';
import { ROUTING_KEY } from './tunnel.ts';

/**
 * Many callers in one process. It speaks to the backend's tunnel port, so it is their forwarder too: every caller has an
 * address of its own.
 */

/** 20 ms of PCM16 at 24 kHz. */
const FRAME_OCTETS = 960;
const FRAME_MS = 20;
/** A page acknowledges what it received that often, in ms. */
const REPORT_MS = 250;
/** Frames whose sending times are kept, for the time until they are heard back. */
const KEPT_TIMES = 1024;
/** Calls that shake hands at the same time. */
const OPENING = 16;
const frame = new Uint8Array(randomBytes(FRAME_OCTETS));
/** Packets that callers say again and again: two seconds of a voice-like wave. */
const OPUS_PACKETS = 100;
const LOOK_AHEAD_SAMPLES = 60;

/** Each as it stands in a stream. */
async function opusPackets(): Promise<Uint8Array[]> {
  const encoder = await createOpusEncoder();
  const samples = new Int16Array(OPUS_PACKET_SAMPLES);
  return Array.from({ length: OPUS_PACKETS }, (_, n) => {
    for (let i = 0; i < samples.length; i++) {
      const t = (n * samples.length + i) / SAMPLE_RATE;
      const wave = Math.sin(2 * Math.PI * (170 * t + 8 * Math.sin(2 * t)));
      samples[i] = 9000 * wave * (0.7 + 0.3 * Math.sin(11 * t));
    }
    return encodeOpusPackets([encoder.encode(samples)]);
  });
}

const random = (length: number) => new Uint8Array(randomBytes(length));

class Caller {
  readonly #machine: WebTransportConnection;
  readonly #wake: () => void;
  readonly #ready: () => void;
  readonly #isVoice: boolean;
  readonly #sentAt = new Float64Array(KEPT_TIMES);
  #session = -1;
  #control = -1;
  #microphone = -1;
  #answer = -1;
  readonly #messages = new MessageDecoder();
  readonly #answerHeader = new AnswerHeaderDecoder();
  readonly #answerPackets = new OpusReader();
  /** What it says in Opus; undefined for PCM. */
  readonly #packets: readonly Uint8Array[] | undefined;
  #numbered = 0;
  #answerOctets = 0;
  #framesSent = 0;
  #framesHeard = 0;
  #timer: NodeJS.Timeout | undefined;
  #reporting: NodeJS.Timeout | undefined;
  readonly latencies: number[] = [];
  #hushing = false;
  closed = false;

  constructor(
    machine: WebTransportConnection,
    path: string,
    packets: readonly Uint8Array[] | undefined,
    wake: () => void,
    ready: () => void,
  ) {
    this.#packets = packets;
    this.#machine = machine;
    this.#wake = wake;
    this.#ready = ready;
    this.#isVoice = path === '/voice';
    machine.connectSession({ authority: 'localhost', path });
  }

  handle(event: QuicEvent): void {
    this.#machine.handleEvent(event);
    for (let next = this.#machine.poll(); next !== undefined; next = this.#machine.poll()) this.#take(next);
  }

  #take(event: WebTransportEvent): void {
    if (event.type === 'sessionEstablished') {
      this.#session = event.sessionId;
      if (!this.#isVoice) {
        this.#ready();
        return;
      }
      this.#control = this.#machine.openStream(event.sessionId, 'bidirectional')!;
      const codecs = this.#packets === undefined ? [VOICE_CODEC] : [VOICE_CODEC, OPUS_CODEC];
      const answers = this.#packets && { answerCodecs: codecs, answerCodec: OPUS_CODEC };
      const hello = { type: 'parley.hello', protocol: VOICE_PROTOCOL, codecs, ...answers };
      this.#machine.writeStream(this.#control, encodeMessage(hello));
    } else if (event.type === 'streamReadable') this.#read(event.streamId);
    else if (event.type === 'streamOpened') this.#answer = event.streamId;
    else if (event.type === 'closed' || event.type === 'sessionClosed' || event.type === 'sessionRejected') {
      this.closed = true;
      clearInterval(this.#timer);
      clearInterval(this.#reporting);
    }
  }

  #read(streamId: number): void {
    for (;;) {
      const read = this.#machine.readStream(streamId);
      if (read === undefined || read.data.length === 0) return;
      if (streamId === this.#answer) this.#heard(read.data);
      else if (streamId === this.#control) this.#told(read.data);
    }
  }

  #told(data: Uint8Array): void {
    this.#messages.push(data);
    for (let next = this.#messages.next(); next !== undefined; next = this.#messages.next()) {
      if (isNumbered(next)) this.#numbered += 1;
      if (next.type !== 'parley.ready') continue;
      this.#reporting = setInterval(() => this.#report(), REPORT_MS);
      this.#ready();
    }
  }

  /** As a page does, so that the backend forgets what it keeps for a page that comes back. */
  #report(): void {
    const { header } = this.#answerHeader;
    const samples = Math.floor(this.#answerOctets / 2);
    const answers = header === undefined ? [] : [{ answer: header.answer, samples, ended: false }];
    const message = { type: 'parley.received', messages: this.#numbered, answers };
    this.#machine.writeStream(this.#control, encodeMessage(message));
    this.#wake();
  }

  #heard(data: Uint8Array): void {
    const octets = this.#pcmOctets(this.#answerHeader.push(data));
    this.#answerOctets += octets;
    const whole = Math.floor(this.#answerOctets / FRAME_OCTETS);
    const now = performance.now();
    while (this.#framesHeard < whole) {
      this.latencies.push(now - this.#sentAt[this.#framesHeard % KEPT_TIMES]!);
      this.#framesHeard += 1;
    }
  }

  /** What audio of its answer is as PCM. */
  #pcmOctets(audio: Uint8Array): number {
    if (this.#answerHeader.header?.codec !== OPUS_CODEC) return audio.length;
    this.#answerPackets.push(audio);
    let octets = 0;
    while (this.#answerPackets.next() !== undefined) octets += FRAME_OCTETS;
    return octets;
  }

  /** Speaks from now on: one frame each 20 ms. */
  speak(): void {
    if (this.#microphone < 0) this.#openMicrophone();
    this.#hushing = false;
    this.#timer = setInterval(() => {
      if (this.#hushing && this.#framesSent % 2 === 0) return clearInterval(this.#timer);
      this.#sentAt[this.#framesSent % KEPT_TIMES] = performance.now();
      this.#framesSent += 1;
      const said = this.#packets?.[this.#framesSent % OPUS_PACKETS] ?? frame;
      this.#machine.writeStream(this.#microphone, said);
      this.#wake();
    }, FRAME_MS);
  }

  /** Stops behind an even frame, so that nothing is held back to be sent on with the next. */
  hush(): void {
    this.#hushing = true;
  }

  #openMicrophone(): void {
    this.#microphone = this.#machine.openStream(this.#session, 'unidirectional')!;
    const header = { type: 'parley.microphone', stretch: 0, firstSample: 0, startMs: 0 } as const;
    const opus = this.#packets !== undefined;
    const codec = opus ? OPUS_CODEC : VOICE_CODEC;
    const lookAhead = opus ? LOOK_AHEAD_SAMPLES : 0;
    const octets = encodeHeader({ ...header, codec, lookAhead, rate: SAMPLE_RATE });
    this.#machine.writeStream(this.#microphone, octets);
  }
}

const end = new TunnelEnd('forwarder', 'require', deriveTunnelKeys(ROUTING_KEY));

/** A socket that puts SPP around what it sends, with the local address of the path as the client's. */
async function openForwarderSocket(): Promise<PacketSocket> {
  const plain = await openPublicSocket({ host: '127.0.0.1', port: 0 });
  const send = ({ data, path }: Datagram) => {
    const header = {
      clientHost: path.local.host,
      clientPort: path.local.port,
      proxyHost: plain.local.host,
      proxyPort: plain.local.port,
    };
    plain.send({ data: end.seal(header, data), path: { local: plain.local, remote: path.remote } });
  };
  const onDatagram = (listener: (datagram: Datagram) => void) =>
    plain.onDatagram(({ data, path }) => {
      const decoded = end.open(data);
      if (decoded === undefined) return;
      const { clientHost: host, clientPort: port } = decoded.header;
      listener({ data: decoded.payload, path: { local: { host, port }, remote: path.remote } });
    });
  return {
    local: plain.local,
    dropped: plain.dropped,
    owns: () => true,
    send,
    flush: () => plain.flush(),
    get isFull() {
      return plain.isFull;
    },
    onDatagram,
    close: () => plain.close(),
  };
}

class Load {
  readonly #callers: Caller[] = [];
  readonly #path: string;
  readonly #codec: MicrophoneCodec;
  #packets: readonly Uint8Array[] | undefined;
  readonly #tunnels: readonly Address[];
  readonly #endpoint = new QuicEndpoint({
    ciphers: choosePacketCiphers().ciphers,
    random,
    connectionIdGenerator: { length: 8, generate: () => random(8) },
    wallClockEpochMs: Date.now(),
  });
  #driver!: EndpointDriver;
  #before = { sent: 0, received: 0 };

  /** Calls are dealt to the tunnels in turn. */
  constructor(tunnels: readonly Address[], path: string, codec: MicrophoneCodec) {
    this.#codec = codec;
    this.#tunnels = tunnels;
    this.#path = path;
  }

  async start(): Promise<void> {
    if (this.#codec === OPUS_CODEC) this.#packets = await opusPackets();
    const socket = await openForwarderSocket();
    this.#driver = new EndpointDriver(this.#endpoint, [socket], (item) => {
      if (item.type === 'event') (item.connection.context as Caller | undefined)?.handle(item.event);
    });
  }

  async open(count: number): Promise<void> {
    for (let left = count; left > 0; left -= OPENING)
      await Promise.all(Array.from({ length: Math.min(left, OPENING) }, () => this.#open()));
  }

  #open(): Promise<void> {
    return new Promise((resolve) => {
      const connection = this.#endpoint.connect(
        {
          remote: this.#tunnels[this.#callers.length % this.#tunnels.length]!,
          local: { host: '127.0.0.1', port: 20_000 + this.#callers.length },
          serverName: 'localhost',
          alpnProtocols: ['h3'],
          trust: { kind: 'any' },
          // An idle call of a browser is kept alive by its pings; here silence must not end it.
          transport: { keepAliveIntervalMs: 10_000 },
        },
        this.#driver.now(),
      );
      const machine = new WebTransportConnection(connection);
      const caller = new Caller(machine, this.#path, this.#packets, () => this.#driver.wake(), resolve);
      connection.context = caller;
      this.#callers.push(caller);
      this.#driver.wake();
    });
  }

  speak(): void {
    this.#callers.forEach((caller, index) => {
      // Spread over the 20 ms, as callers are.
      setTimeout(() => caller.speak(), (index * FRAME_MS) / this.#callers.length);
    });
  }

  hush(): void {
    for (const caller of this.#callers) caller.hush();
  }

  /** Forgets the times so far, so that only what comes now is measured. */
  reset(): void {
    for (const caller of this.#callers) caller.latencies.length = 0;
    const { datagramsSent: sent, datagramsReceived: received } = this.#endpoint.stats();
    this.#before = { sent, received };
  }

  report() {
    const latencies = this.#callers.flatMap((caller) => caller.latencies).sort((a, b) => a - b);
    const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
    const { datagramsSent, datagramsReceived } = this.#endpoint.stats();
    return {
      datagramsIn: datagramsSent - this.#before.sent,
      datagramsOut: datagramsReceived - this.#before.received,
      frames: latencies.length,
      lost: this.#callers.filter((caller) => caller.closed).length,
      medianMs: at(0.5),
      p95Ms: at(0.95),
      p99Ms: at(0.99),
    };
  }
}

let load: Load;

answerParent(async (request) => {
  switch (request.op) {
    case 'start':
      load = new Load(request.tunnels as Address[], String(request.path), request.codec as MicrophoneCodec);
      return load.start();
    case 'open':
      return load.open(Number(request.count));
    case 'speak':
      return load.speak();
    case 'hush':
      return load.hush();
    case 'reset':
      return load.reset();
    case 'report':
      return load.report();
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
