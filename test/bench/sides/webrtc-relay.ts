import { readFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { OpenAI } from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { answerParent, Meter, type Request } from '../child.ts';
import {
  type AudioFrame,
  describeLocally,
  Feed,
  nonstandard,
  RTC_FRAME,
  RTC_RATE,
  RTCPeerConnection,
} from './webrtc.ts';

/**
 * A server whose callers come by WebRTC, as people build it from libwebrtc for Node: an offer is taken over HTTPS, as the Realtime API takes
 * it, and the audio of the peer connection goes on to an upstream through the official SDK, and comes back from it.
 */

/** The Realtime API takes PCM16 at 24 kHz, in events of 20 ms here. */
const EVENT_SAMPLES = 480;

interface Totals {
  total: number;
  concealed: number;
  packets: number;
  lost: number;
  discarded: number;
}

/** One caller: a peer connection, and its upstream. */
class Caller {
  readonly #connection = new RTCPeerConnection();
  readonly #upstream: OpenAIRealtimeWS;
  #sink: { stop(): void } | undefined;
  #event = new Int16Array(EVENT_SAMPLES);
  #filled = 0;
  readonly #answer: Int16Array[] = [];
  #answerAt = 0;
  readonly #feed = new Feed(() => this.#play());

  constructor(client: OpenAI, ca: Buffer) {
    this.#upstream = new OpenAIRealtimeWS({ model: 'gpt-realtime', options: { ca } }, client);
    this.#upstream.on('error', () => this.close());
    this.#upstream.socket.on('close', () => this.close());
    this.#upstream.on('response.output_audio.delta', ({ delta }) => {
      const octets = Buffer.from(delta, 'base64');
      this.#answer.push(new Int16Array(octets.buffer, octets.byteOffset, octets.length / 2).slice());
    });
    this.#upstream.on('input_audio_buffer.speech_started', () => {
      this.#answer.length = 0;
      this.#answerAt = 0;
    });
    this.#connection.ontrack = ({ track }) => {
      const sink = new nonstandard.RTCAudioSink(track);
      sink.ondata = (frame) => this.#hear(frame);
      this.#sink = sink;
    };
    this.#connection.onconnectionstatechange = () => {
      if (['failed', 'closed'].includes(this.#connection.connectionState)) this.close();
    };
    this.#feed.start();
  }

  /** Answers an offer. */
  async accept(sdp: string): Promise<string> {
    const connection = this.#connection;
    await connection.setRemoteDescription({ type: 'offer', sdp });
    connection.addTrack(this.#feed.track);
    return describeLocally(connection, await connection.createAnswer());
  }

  /** Every second sample of the mean of two neighbours: speech has little near 12 kHz. */
  #hear({ samples, sampleRate }: AudioFrame): void {
    // Before the first packet there is silence at another rate.
    if (sampleRate !== RTC_RATE) return;
    for (let i = 0; i + 1 < samples.length; i += 2) {
      this.#event[this.#filled++] = (samples[i]! + samples[i + 1]!) >> 1;
      if (this.#filled < EVENT_SAMPLES) continue;
      this.#filled = 0;
      if (this.#upstream.socket.readyState !== this.#upstream.socket.OPEN) continue;
      const audio = Buffer.from(this.#event.buffer).toString('base64');
      this.#upstream.send({ type: 'input_audio_buffer.append', audio });
    }
  }

  /** 10 ms of the answer or of silence. */
  #play(): Int16Array {
    const samples = new Int16Array(RTC_FRAME);
    for (let i = 0; i < RTC_FRAME; i += 2) samples[i] = samples[i + 1] = this.#next();
    return samples;
  }

  #next(): number {
    const [first] = this.#answer;
    if (first === undefined) return 0;
    const sample = first[this.#answerAt++]!;
    if (this.#answerAt === first.length) {
      this.#answer.shift();
      this.#answerAt = 0;
    }
    return sample;
  }

  /** What libwebrtc says of the caller's audio so far. */
  async addTo(totals: Totals): Promise<void> {
    // One that is closed has none.
    if (this.#connection.connectionState === 'closed') return;
    for (const report of (await this.#connection.getStats()).values()) {
      if (report.type !== 'inbound-rtp') continue;
      totals.total += report.totalSamplesReceived;
      totals.concealed += report.concealedSamples;
      totals.packets += report.packetsReceived;
      totals.lost += report.packetsLost;
      totals.discarded += report.packetsDiscarded;
    }
  }

  close(): void {
    this.#feed.stop();
    this.#sink?.stop();
    this.#upstream.close();
    this.#connection.close();
  }
}

const callers: Caller[] = [];

async function bodyOf(request: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

/** Takes offers: POST with the SDP, answered by SDP. Each on a connection of its own, as the first one of a page is. */
async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  client: OpenAI,
  ca: Buffer,
): Promise<void> {
  const caller = new Caller(client, ca);
  callers.push(caller);
  const sdp = await caller.accept(await bodyOf(request));
  response.writeHead(201, {
    'content-type': 'application/sdp',
    'access-control-allow-origin': '*',
    connection: 'close',
  });
  response.end(sdp);
}

function start({ certificate, key, port, host = '127.0.0.1' }: Request): Promise<number> {
  const cert = readFileSync(String(certificate));
  const client = new OpenAI({ apiKey: 'bench', baseURL: `https://localhost:${port}/v1` });
  const server = createServer({ cert, key: readFileSync(String(key)) }, (request, response) => {
    serve(request, response, client, cert).catch((error: Error) => {
      response.writeHead(400, { 'access-control-allow-origin': '*' }).end(error.message);
    });
  });
  return new Promise((resolve) => {
    server.listen(0, String(host), () => resolve((server.address() as AddressInfo).port));
  });
}

let meter: Meter | undefined;

answerParent(async (request) => {
  switch (request.op) {
    case 'start':
      return start(request);
    case 'stats': {
      const totals: Totals = { total: 0, concealed: 0, packets: 0, lost: 0, discarded: 0 };
      for (const caller of callers) await caller.addTo(totals);
      return totals;
    }
    case 'meter':
      meter = await Meter.start(request.profile === true);
      return undefined;
    case 'measured':
      return meter!.stop();
    case 'hang up':
      for (const caller of callers.splice(0)) caller.close();
      return undefined;
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
