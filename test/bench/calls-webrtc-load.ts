import { readFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { speakInTurn } from './callers.ts';
import { answerParent } from './child.ts';
import {
  type AudioFrame,
  describeLocally,
  Feed,
  nonstandard,
  RTC_FRAME,
  RTC_RATE,
  RTCPeerConnection,
} from './sides/webrtc.ts';
import { voiceWave } from './voice-wave.ts';

/**
 * Many callers in one process who come by WebRTC: an offer over HTTPS, then a peer connection each. A peer connection has
 * packets and mixing under way even when all are silent, so calls are there only while they speak: `speak` dials them all, `hush` hangs up.
 */

/** 20 ms at libwebrtc's rate. */
const FRAME_SAMPLES = 960;
/** The echo is this loud at some sample of each 10 ms; a relay's silence, and its noise behind the codec, are not. */
const LOUD = 500;
/** Calls that are opened at the same time. */
const OPENING = 8;
const CONNECT_MS = 20_000;
/** Jitter buffers and encoders are settled after that long. */
const SETTLE_MS = 1000;
/** Two seconds that callers say again and again. */
const wave = voiceWave(2 * RTC_RATE, RTC_RATE);

/** What an answer to an offer is. */
function exchange(port: number, ca: Buffer, offer: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = {
      host: 'localhost',
      port,
      ca,
      method: 'POST',
      headers: { 'content-type': 'application/sdp' },
    };
    const asked = httpsRequest(options, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => parts.push(part));
      response.on('error', reject);
      response.on('end', () => {
        const text = Buffer.concat(parts).toString('utf8');
        if (response.statusCode === 201) resolve(text);
        else reject(new Error(`the relay answered ${response.statusCode}: ${text}`));
      });
    });
    asked.on('error', reject);
    asked.end(offer);
  });
}

class RtcCaller {
  readonly #connection = new RTCPeerConnection();
  #sink: { stop(): void } | undefined;
  #at = 0;
  readonly #feed = new Feed(() => this.#say());
  /** Samples of 10 ms in which the echo was there. */
  #heardSamples = 0;
  #madeUpBefore = 0;
  #heardBefore = 0;

  get closed(): boolean {
    return this.#connection.connectionState !== 'connected';
  }

  async dial(port: number, ca: Buffer): Promise<void> {
    const connection = this.#connection;
    connection.addTrack(this.#feed.track);
    connection.ontrack = ({ track }) => {
      const sink = new nonstandard.RTCAudioSink(track);
      sink.ondata = (frame) => this.#hear(frame);
      this.#sink = sink;
    };
    const connected = new Promise<void>((resolve, reject) => {
      const late = () => reject(new Error(`a peer connection is ${connection.connectionState}`));
      const timer = setTimeout(late, CONNECT_MS);
      connection.onconnectionstatechange = () => {
        if (connection.connectionState !== 'connected') return;
        clearTimeout(timer);
        resolve();
      };
    });
    // Its failure is met when it is waited for.
    connected.catch(() => {});
    const offer = await describeLocally(connection, await connection.createOffer());
    await connection.setRemoteDescription({ type: 'answer', sdp: await exchange(port, ca, offer) });
    await connected;
  }

  speak(): void {
    this.#feed.start();
  }

  #say(): Int16Array {
    const samples = wave.slice(this.#at, this.#at + RTC_FRAME);
    this.#at = (this.#at + RTC_FRAME) % wave.length;
    return samples;
  }

  #hear({ samples, sampleRate }: AudioFrame): void {
    if (sampleRate !== RTC_RATE) return;
    if (samples.some((sample) => Math.abs(sample) >= LOUD)) this.#heardSamples += samples.length;
  }

  /** Samples that libwebrtc made up so far, because none had come. */
  async #madeUp(): Promise<number> {
    let samples = 0;
    for (const report of (await this.#connection.getStats()).values())
      if (report.type === 'inbound-rtp') samples += report.concealedSamples;
    return samples;
  }

  /** What comes from now on is counted. */
  async reset(): Promise<void> {
    this.#madeUpBefore = await this.#madeUp();
  }

  /** With no waiting between callers, once all know what was made up. */
  mark(): void {
    this.#heardBefore = this.#heardSamples;
  }

  /** Frames of the echo that came since. */
  async frames(): Promise<number> {
    const heard = this.#heardSamples - this.#heardBefore;
    const madeUp = (await this.#madeUp()) - this.#madeUpBefore;
    return Math.max(0, heard - madeUp) / FRAME_SAMPLES;
  }

  hangUp(): void {
    this.#feed.stop();
    this.#sink?.stop();
    this.#connection.close();
  }
}

let count = 0;
let port = 0;
let ca: Buffer;
const callers: RtcCaller[] = [];

async function speak(): Promise<void> {
  while (callers.length < count) {
    const some = Array.from({ length: Math.min(OPENING, count - callers.length) }, () => new RtcCaller());
    callers.push(...some);
    await Promise.all(some.map((caller) => caller.dial(port, ca)));
  }
  speakInTurn(callers);
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}

async function reset(): Promise<void> {
  await Promise.all(callers.map((caller) => caller.reset()));
  for (const caller of callers) caller.mark();
}

/** How long an echo took cannot be told: behind a lossy codec no frame is what it was. */
async function report() {
  const frames = await Promise.all(callers.map((caller) => caller.frames()));
  return {
    datagramsIn: 0,
    datagramsOut: 0,
    frames: frames.reduce((sum, each) => sum + each, 0),
    lost: callers.filter(({ closed }) => closed).length,
    medianMs: null,
    p95Ms: null,
    p99Ms: null,
  };
}

answerParent(async (request) => {
  switch (request.op) {
    case 'open':
      count += Number(request.count);
      port = Number(request.port);
      ca = readFileSync(String(request.certificate));
      return undefined;
    case 'speak':
      return speak();
    case 'hush':
      for (const caller of callers.splice(0)) caller.hangUp();
      return undefined;
    case 'reset':
      return reset();
    case 'report':
      return report();
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
