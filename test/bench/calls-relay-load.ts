import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { WebSocket } from 'ws';
import { answerForCallers, FRAME_MS, FRAME_OCTETS, FrameTimes } from './callers.ts';

/** Many callers in one process whose pages speak the Realtime API's events to a relay over WebSockets. */

const append = JSON.stringify({
  type: 'input_audio_buffer.append',
  audio: randomBytes(FRAME_OCTETS).toString('base64'),
});

class RelayCaller {
  readonly #socket: WebSocket;
  #timer: NodeJS.Timeout | undefined;
  readonly times = new FrameTimes();
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
        this.times.hear(Buffer.byteLength(event.delta ?? '', 'base64'));
    });
  }

  speak(): void {
    this.#hushing = false;
    this.#timer = setInterval(() => {
      if (this.#hushing) return clearInterval(this.#timer);
      this.times.say();
      this.#socket.send(append);
    }, FRAME_MS);
  }

  hush(): void {
    this.#hushing = true;
  }
}

answerForCallers(({ count, port, certificate }) => {
  const ca = readFileSync(String(certificate));
  const open = () =>
    new Promise<RelayCaller>((resolve) => {
      const caller: RelayCaller = new RelayCaller(`wss://localhost:${port}`, ca, () => resolve(caller));
    });
  return Promise.all(Array.from({ length: Number(count) }, open));
});
