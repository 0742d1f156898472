import {
  encodeMessage,
  type Message,
  MessageDecoder,
  type Resume,
  SessionCloseCode,
  VOICE_CODEC,
  VOICE_PROTOCOL,
} from '../../../proto/voice/index.ts';
import type { TabSession } from './call-network.ts';

/** A tab, or someone else, that says hello with a ticket which it has, and then does nothing but listen. */
export class RawTab {
  ready: Message | undefined;
  closeCode: number | undefined;
  readonly #session: TabSession;
  readonly #onReady: (how: string) => void;

  constructor(session: TabSession, resume: Resume, onReady: (how: string) => void = () => {}) {
    this.#onReady = onReady;
    this.#session = session;
    session.closed.then(
      ({ closeCode }) => {
        this.closeCode = closeCode;
      },
      () => {
        this.closeCode = -1;
      },
    );
    this.#run(resume).catch(() => undefined);
  }

  get over(): boolean {
    return this.closeCode !== undefined;
  }

  hangUp(): void {
    this.#session.close({ closeCode: SessionCloseCode.NORMAL, reason: 'the caller hung up' });
  }

  async #run(resume: Resume): Promise<void> {
    const { readable, writable } = await this.#session.createBidirectionalStream();
    const hello = { type: 'parley.hello', protocol: VOICE_PROTOCOL, codecs: [VOICE_CODEC], resume };
    const writer = writable.getWriter();
    writer.closed.catch(() => undefined);
    await writer.write(encodeMessage(hello));
    const decoder = new MessageDecoder();
    const reader = readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      decoder.push(value);
      for (let message = decoder.next(); message !== undefined; message = decoder.next()) this.#take(message);
    }
  }

  #take(message: Message): void {
    if (message.type !== 'parley.ready') return;
    this.ready = message;
    this.#onReady((message as unknown as { call: { how: string } }).call.how);
  }
}
