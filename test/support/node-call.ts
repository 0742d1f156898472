import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import WebSocket from 'ws';
import { AudioHash } from '../../proto/voice/index.ts';
import { loadPages, type Page, type PageWitness } from '../simulation/calls/page-face.ts';

/** The library as browsers get it. Node gets another face of it, without what the page uses. */
export const BROWSER_LIBRARY = fileURLToPath(
  new URL('../../node_modules/@fails-components/webtransport/lib/index.browser.js', import.meta.url),
);

/** Samples that a microphone gives at a time: 20 ms. */
const FRAME_SAMPLES = 480;
const FRAME_MS = 20;
const OCTETS_PER_SAMPLE = 2;

/** A call of the page's own code in Node, without sound devices: over TCP, as there is no WebTransport here. */
export class NodeCall implements PageWitness {
  readonly microphone = new AudioHash();
  readonly received = new Map<string, AudioHash>();
  readonly whole = new Set<string>();
  readonly sessions: string[] = [];
  failure: string | undefined;
  #page!: Page;

  /** Dials `url`, whose certificate is trusted by the file's. */
  static async dial(url: string, certificatePath: string): Promise<NodeCall> {
    const ca = readFileSync(certificatePath);
    class TrustingSocket extends WebSocket {
      constructor(address: string, protocols?: string | string[]) {
        super(address, protocols, { ca });
      }
    }
    Object.assign(globalThis, { WebSocket: TrustingSocket });
    const { openPage } = await loadPages();
    const call = new NodeCall();
    call.#page = openPage({ url, token: 'none', resumeFor: 60_000 }, call);
    await call.#page.start();
    return call;
  }

  get receivedSamples(): number {
    return this.#page.receivedSamples;
  }

  /** Says it as fast as a microphone gives it. */
  async say(pcm: Uint8Array): Promise<void> {
    this.#page.beginStretch();
    const begun = performance.now();
    const step = FRAME_SAMPLES * OCTETS_PER_SAMPLE;
    for (let at = 0; at < pcm.length; at += step) {
      // A copy: a Buffer's memory is not its own.
      const frame = Uint8Array.from(pcm.subarray(at, at + step));
      this.microphone.update(frame);
      this.#page.speak(new Int16Array(frame.buffer));
      const dueMs = begun + (at / step) * FRAME_MS - performance.now();
      if (dueMs > 0) await new Promise((resolve) => setTimeout(resolve, dueMs));
    }
    this.#page.endStretch();
  }

  hangUp(): void {
    this.#page.finish();
    this.#page.close(0, '');
  }

  ready(how: string): void {
    this.sessions.push(how);
  }
  answer({ itemId }: { readonly itemId: string }, octets: Uint8Array): void {
    const hash = this.received.get(itemId) ?? new AudioHash();
    this.received.set(itemId, hash.update(octets));
  }
  answerEnds({ itemId }: { readonly itemId: string }, complete: boolean): void {
    if (complete) this.whole.add(itemId);
  }
  failed(reason: string): void {
    this.failure = reason;
  }
  own(): void {}
  checkpoint(): void {}
  rewound(): void {}
  event(): void {}
  answerBegins(): void {}
  brokenOff(): void {}
  reconnecting(): void {}
}
