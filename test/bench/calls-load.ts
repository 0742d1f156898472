import { randomBytes } from 'node:crypto';
import { choosePacketCiphers } from '../../net/ciphers/index.ts';
import { type Address, type QuicConnection, QuicEndpoint, type QuicEvent } from '../../proto/quic/index.ts';
import {
  encodeOpusPackets,
  type MicrophoneCodec,
  OPUS_CODEC,
  OPUS_PACKET_SAMPLES,
  SAMPLE_RATE,
  VOICE_CODEC,
} from '../../proto/voice/index.ts';
import { WebTransportConnection, type WebTransportEvent } from '../../proto/webtransport/index.ts';
import { createOpusEncoder } from '../../server/bridge/opus.ts';
import { EndpointDriver } from '../../server/net/index.ts';
import { FRAME_MS, FRAME_OCTETS, FrameTimes, reportOf, speakInTurn } from './callers.ts';
import { answerParent } from './child.ts';
import { openForwarderSocket } from './forwarder-socket.ts';
import { encodeHello, encodeMicrophoneHeader, REPORT_MS, Received } from './voice-caller.ts';
import { voiceWave } from './voice-wave.ts';

/**
 * Many callers in one process. It speaks to the backend's tunnel port, so it is their forwarder too: every caller has an
 * address of its own.
 */

/** Calls that shake hands at the same time. */
const OPENING = 16;
/** Frames that a short call says and hears back, how long it waits for them, and for its session to close, in ms. */
const SHORT_FRAMES = 2;
const SHORT_MS = 20_000;
const CLOSING_MS = 2000;
const H3_NO_ERROR = 0x100;
const H3_INTERNAL_ERROR = 0x102;
const frame = new Uint8Array(randomBytes(FRAME_OCTETS));
/** Packets that callers say again and again: two seconds of a voice-like wave. */
const OPUS_PACKETS = 100;

/** Each as it stands in a stream. */
async function opusPackets(): Promise<Uint8Array[]> {
  const encoder = await createOpusEncoder();
  const samples = voiceWave(OPUS_PACKETS * OPUS_PACKET_SAMPLES, SAMPLE_RATE);
  return Array.from({ length: OPUS_PACKETS }, (_, n) => {
    const packet = samples.subarray(n * OPUS_PACKET_SAMPLES, (n + 1) * OPUS_PACKET_SAMPLES);
    return encodeOpusPackets([encoder.encode(packet)]);
  });
}

const random = (length: number) => new Uint8Array(randomBytes(length));

/** Looks once a frame. Throws when it does not come to be so in time. */
async function until(what: string, is: () => boolean, timeoutMs: number): Promise<void> {
  for (const endMs = performance.now() + timeoutMs; !is(); ) {
    if (performance.now() > endMs) throw new Error(`a call waited in vain ${what}`);
    await new Promise((resolve) => setTimeout(resolve, FRAME_MS));
  }
}

class Caller {
  readonly connection: QuicConnection;
  readonly #machine: WebTransportConnection;
  readonly #wake: () => void;
  readonly #ready: () => void;
  readonly #isVoice: boolean;
  #session = -1;
  #control = -1;
  #microphone = -1;
  #answer = -1;
  readonly #received = new Received();
  /** What it says in Opus; undefined for PCM. */
  readonly #packets: readonly Uint8Array[] | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reporting: NodeJS.Timeout | undefined;
  readonly times = new FrameTimes();
  #hushing = false;
  closed = false;

  constructor(
    connection: QuicConnection,
    path: string,
    packets: readonly Uint8Array[] | undefined,
    wake: () => void,
    ready: () => void,
  ) {
    this.#packets = packets;
    this.connection = connection;
    this.#machine = new WebTransportConnection(connection);
    this.#wake = wake;
    this.#ready = ready;
    this.#isVoice = path === '/voice';
    this.#machine.connectSession({ authority: 'localhost', path });
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
      this.#machine.writeStream(this.#control, encodeHello(this.#codec));
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
      if (streamId === this.#answer) this.times.hear(this.#received.takeAnswer(read.data));
      else if (streamId === this.#control) this.#told(read.data);
    }
  }

  get #codec(): MicrophoneCodec {
    return this.#packets === undefined ? VOICE_CODEC : OPUS_CODEC;
  }

  #told(data: Uint8Array): void {
    if (!this.#received.takeControl(data)) return;
    this.#reporting = setInterval(() => this.#report(), REPORT_MS);
    this.#ready();
  }

  #report(): void {
    const message = this.#received.acknowledge();
    if (message === undefined) return;
    this.#machine.writeStream(this.#control, message);
    this.#wake();
  }

  /** Speaks from now on: one frame each 20 ms. */
  speak(): void {
    if (this.#microphone < 0) this.#openMicrophone();
    this.#hushing = false;
    this.#timer = setInterval(() => {
      if (this.#hushing && this.times.sent % 2 === 0) return clearInterval(this.#timer);
      this.times.say();
      const said = this.#packets?.[this.times.sent % OPUS_PACKETS] ?? frame;
      this.#machine.writeStream(this.#microphone, said);
      this.#wake();
    }, FRAME_MS);
  }

  /** Stops behind an even frame, so that nothing is held back to be sent on with the next. */
  hush(): void {
    this.#hushing = true;
  }

  /** Ends what it says, and its session, as a page does. */
  hangUp(): void {
    clearInterval(this.#timer);
    clearInterval(this.#reporting);
    if (this.#microphone >= 0) this.#machine.writeStream(this.#microphone, new Uint8Array(0), true);
    this.#machine.closeSession(this.#session);
    this.#wake();
  }

  #openMicrophone(): void {
    this.#microphone = this.#machine.openStream(this.#session, 'unidirectional')!;
    this.#machine.writeStream(this.#microphone, encodeMicrophoneHeader(this.#codec));
  }
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
  /** Of all calls, those included that are over. */
  #opened = 0;

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
      await Promise.all(
        Array.from({ length: Math.min(left, OPENING) }, async () => this.#callers.push(await this.#open())),
      );
  }

  /** Calls that say and hear a little and hang up, one after the other in each of a few rows. */
  async openShort(count: number): Promise<void> {
    let left = count;
    const row = async () => {
      while (left-- > 0) {
        const caller = await this.#open();
        caller.speak();
        await until('for its echo', () => caller.times.latencies.length >= SHORT_FRAMES, SHORT_MS);
        caller.hangUp();
        await until('for its end', () => caller.closed, CLOSING_MS);
        caller.connection.close(H3_NO_ERROR, '');
        this.#driver.wake();
      }
    };
    await Promise.all(Array.from({ length: OPENING }, row));
  }

  #open(): Promise<Caller> {
    return new Promise((resolve) => {
      const number = this.#opened++;
      const connection = this.#endpoint.connect(
        {
          remote: this.#tunnels[number % this.#tunnels.length]!,
          local: { host: '127.0.0.1', port: 20_000 + (number % 40_000) },
          serverName: 'localhost',
          alpnProtocols: ['h3'],
          trust: { kind: 'any' },
          // An idle call of a browser is kept alive by its pings; here silence must not end it.
          transport: { keepAliveIntervalMs: 10_000 },
        },
        this.#driver.now(),
      );
      const wake = () => this.#driver.wake();
      const caller: Caller = new Caller(connection, this.#path, this.#packets, wake, () => resolve(caller));
      connection.context = caller;
      this.#driver.wake();
    });
  }

  /** All of them speak, or those that were opened behind the first `from`. */
  speak(from: number): void {
    speakInTurn(this.#callers.slice(from));
  }

  hush(): void {
    for (const caller of this.#callers) caller.hush();
  }

  /** Those that were opened behind the first `from` lose their connections, as if they would come back. */
  lose(from: number): void {
    for (const { connection } of this.#callers.splice(from)) connection.close(H3_INTERNAL_ERROR, '');
    this.#driver.wake();
  }

  /** Forgets the times so far, so that only what comes now is measured. */
  reset(): void {
    for (const { times } of this.#callers) times.latencies.length = 0;
    const { datagramsSent: sent, datagramsReceived: received } = this.#endpoint.stats();
    this.#before = { sent, received };
  }

  report() {
    const { datagramsSent, datagramsReceived } = this.#endpoint.stats();
    return {
      ...reportOf(this.#callers),
      datagramsIn: datagramsSent - this.#before.sent,
      datagramsOut: datagramsReceived - this.#before.received,
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
    case 'openShort':
      return load.openShort(Number(request.count));
    case 'speak':
      return load.speak(Number(request.from ?? 0));
    case 'hush':
      return load.hush();
    case 'lose':
      return load.lose(Number(request.from));
    case 'reset':
      return load.reset();
    case 'report':
      return load.report();
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
