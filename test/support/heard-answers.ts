import type { Page } from 'playwright-core';
import type { ServiceObserver } from '../../server/realtime/local/index.ts';
import { Comparison, toSamples } from './spoken-words.ts';

/** In the page: keeps what goes to the playback worklet, by answer, and when. */
const CAPTURE = `(() => {
  const played = [];
  window.playedAnswers = played;
  const Node = AudioWorkletNode;
  window.AudioWorkletNode = class extends Node {
    constructor(context, name, options) {
      super(context, name, options);
      if (name !== 'parley-playback') return;
      const { port } = this;
      const post = port.postMessage.bind(port);
      port.postMessage = (command, transfer) => {
        if (command.type === 'begin') played.push({ key: command.key, chunks: [] });
        if (command.type === 'samples')
          played.find(({ key }) => key === command.key)?.chunks.push(command.samples.slice());
        post(command, transfer);
      };
    }
  };
})()`;

/** What the local realtime service said and what of it a page was to play, sample by sample. */
export class HeardAnswers {
  /** Octets by item, in the order in which the items began. */
  readonly #said = new Map<string, Buffer[]>();

  /** For the local realtime service. */
  readonly observer: ServiceObserver = {
    onEvent: (direction, _, event) => {
      const { type, item_id, delta } = event as { type?: unknown; item_id?: unknown; delta?: unknown };
      if (direction !== 'out' || type !== 'response.output_audio.delta') return;
      if (typeof item_id !== 'string' || typeof delta !== 'string') return;
      const parts = this.#said.get(item_id) ?? [];
      this.#said.set(item_id, parts);
      parts.push(Buffer.from(delta, 'base64'));
    },
  };

  /** Has the page keep what it plays. The page is loaded anew. */
  async watch(page: Page): Promise<void> {
    await page.addInitScript(CAPTURE);
    await page.reload();
  }

  /** Compares each answer, in the order in which they began. */
  async compare(page: Page): Promise<Comparison[]> {
    const heard = JSON.parse(
      (await page.evaluate(`(async () => JSON.stringify(await Promise.all(window.playedAnswers.map(({ chunks }) =>
        new Promise((resolve) => {
          const reader = new FileReader();
          reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(',') + 1));
          reader.readAsDataURL(new Blob(chunks));
        })))))()`)) as string,
    ) as string[];
    const said = [...this.#said.values()];
    return heard.map(
      (base64, i) =>
        new Comparison(toSamples(Buffer.concat(said[i] ?? [])), toSamples(Buffer.from(base64, 'base64')), []),
    );
  }
}
