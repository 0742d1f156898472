import { NodeClient } from '../support/node-client.ts';

/** Octets of 20 ms of speech: 24 kHz, 16 bits. */
const FRAME_OCTETS = 960;
const FRAME_MS = 20;
/** How long frames that are under way may take when a call is asked what it heard, in ms. */
const SETTLE_MS = 5000;

/** A call that runs: a frame goes out every 20 ms, and comes back. */
export class EchoCall {
  /** Milliseconds from a frame's leaving to its last octet's return, in order, since the last `reset`. */
  delays: number[] = [];
  readonly #client: NodeClient;
  readonly #streamId: number;
  readonly #sentAt: number[] = [];
  #back = 0;
  #timer: NodeJS.Timeout | undefined;

  private constructor(client: NodeClient, streamId: number) {
    this.#client = client;
    this.#streamId = streamId;
    client.take = (event) => {
      if (event.type !== 'streamReadable' || event.streamId !== streamId) return false;
      this.#read();
      return true;
    };
  }

  /** From `host`, since a backend bounds sessions by address. */
  static async start(port: number, hash: string, host: string): Promise<EchoCall> {
    const client = await NodeClient.dial(port, hash, { host });
    await client.quicEvent('connected');
    const sessionId = client.webTransport.connectSession({ authority: 'localhost', path: '/echo' });
    client.wake();
    await client.event('sessionEstablished');
    const call = new EchoCall(client, client.webTransport.openStream(sessionId, 'bidirectional')!);
    call.#timer = setInterval(() => call.#send(), FRAME_MS);
    return call;
  }

  #send(): void {
    this.#sentAt.push(performance.now());
    this.#client.webTransport.writeStream(this.#streamId, new Uint8Array(FRAME_OCTETS));
    this.#client.wake();
  }

  #read(): void {
    const { webTransport } = this.#client;
    for (;;) {
      const chunk = webTransport.readStream(this.#streamId);
      if (chunk === undefined) return;
      for (this.#back += chunk.data.length; this.#back >= FRAME_OCTETS; this.#back -= FRAME_OCTETS)
        this.delays.push(performance.now() - this.#sentAt.shift()!);
    }
  }

  reset(): void {
    this.delays = [];
  }

  /** Stops sending, waits for what is under way and hangs up. Returns frames that did not come back. */
  async stop(): Promise<number> {
    clearInterval(this.#timer);
    for (const end = performance.now() + SETTLE_MS; performance.now() < end && this.#sentAt.length > 0; )
      await new Promise((resolve) => setTimeout(resolve, FRAME_MS));
    await this.#client.close();
    return this.#sentAt.length;
  }
}
