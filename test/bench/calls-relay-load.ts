import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { WebSocket } from 'ws';
import { answerParent } from './child.ts';

/** Many callers in one process whose pages speak the Realtime API's events to a relay over WebSockets. */

/** 20 ms of PCM16 at 24 kHz, as pages send it. */
const FRAME_OCTETS = 960;
const FRAME_MS = 20;
/** Frames whose sending times are kept, for the time until they are heard back. */
const KEPT_TIMES = 1024;
const append = JSON.stringify({
  type: 'input_audio_buffer.append',
  audio: randomBytes(FRAME_OCTETS).toString('base64'),
});

class Caller {
  readonly #socket: WebSocket;
  readonly #sentAt = new Float64Array(KEPT_TIMES);
  #framesSent = 0;
  #framesHeard = 0;
  #octetsHeard = 0;
  #timer: NodeJS.Timeout | undefined;
  readonly latencies: number[] = [];
  #hushing = false;
  closed = false;

  /** @param ready is called when the upstream has said its first event. */
  constructor(url: string, ca: Buffer, ready: () => void) {
    this.#socket = new WebSocket(url, { ca, perMessageDeflate: false });
    this.#socket.on('error', () => {
      this.closed = true;
    });
    this.#socket.on('close', () => {
      this.closed = true;
      clearInterval(this.#timer);
    });
    this.#socket.on('message', (data) => {
      const event = JSON.parse(String(data)) as { type: string; delta?: string };
      if (event.type === 'session.created') ready();
      else if (event.type === 'response.output_audio.delta')
        this.#heard(Buffer.byteLength(event.delta ?? '', 'base64'));
    });
  }

  #heard(octets: number): void {
    this.#octetsHeard += octets;
    const now = performance.now();
    const whole = Math.floor(this.#octetsHeard / FRAME_OCTETS);
    while (this.#framesHeard < whole) {
      this.latencies.push(now - this.#sentAt[this.#framesHeard % KEPT_TIMES]!);
      this.#framesHeard += 1;
    }
  }

  /** One frame each 20 ms from now on. */
  speak(): void {
    this.#hushing = false;
    this.#timer = setInterval(() => {
      if (this.#hushing) return clearInterval(this.#timer);
      this.#sentAt[this.#framesSent % KEPT_TIMES] = performance.now();
      this.#framesSent += 1;
      this.#socket.send(append);
    }, FRAME_MS);
  }

  hush(): void {
    this.#hushing = true;
  }
}

const callers: Caller[] = [];

async function open(count: number, port: number, ca: Buffer): Promise<void> {
  const opening = Array.from(
    { length: count },
    () =>
      new Promise<void>((resolve) => {
        callers.push(new Caller(`wss://localhost:${port}`, ca, resolve));
      }),
  );
  await Promise.all(opening);
}

function report() {
  const latencies = callers.flatMap((caller) => caller.latencies).sort((a, b) => a - b);
  const at = (share: number) => latencies[Math.floor(latencies.length * share)] ?? Number.NaN;
  return {
    datagramsIn: 0,
    datagramsOut: 0,
    frames: latencies.length,
    lost: callers.filter(({ closed }) => closed).length,
    medianMs: at(0.5),
    p95Ms: at(0.95),
    p99Ms: at(0.99),
  };
}

answerParent(({ op, count, port, certificate }) => {
  switch (op) {
    case 'open':
      return open(Number(count), Number(port), readFileSync(String(certificate)));
    case 'speak':
      // Spread over the 20 ms, as callers are.
      callers.forEach((caller, index) => {
        setTimeout(() => caller.speak(), (index * FRAME_MS) / callers.length);
      });
      return undefined;
    case 'hush':
      for (const caller of callers) caller.hush();
      return undefined;
    case 'reset':
      for (const caller of callers) caller.latencies.length = 0;
      return undefined;
    case 'report':
      return report();
    default:
      throw new Error(`unknown request ${op}`);
  }
});
