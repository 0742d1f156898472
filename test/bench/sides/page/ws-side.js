import { now, openMicrophone } from './microphone.js';

const REDIAL_MS = 1000;

/** A page as people write it whose server is a relay of WebSockets: the Realtime API's own events as JSON, and the simplest reconnect. */
export function wsSide({ wsUrl }) {
  let socket;
  let dials = 0;
  let over = false;
  let closeMicrophone;
  const player = new Player();

  function dial() {
    dials += 1;
    socket = new WebSocket(wsUrl);
    socket.onmessage = ({ data }) => take(JSON.parse(data));
    socket.onclose = () => {
      if (!over) setTimeout(dial, REDIAL_MS);
    };
  }

  function take(event) {
    if (event.type === 'response.output_audio.delta') player.add(event.item_id, event.delta);
    else if (event.type === 'input_audio_buffer.speech_started') player.stop();
  }

  const send = (event) => {
    if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(event));
  };

  return {
    prepare() {
      dial();
      return new Promise((resolve) => {
        socket.onopen = resolve;
      });
    },
    async talk() {
      const clickedAt = now();
      if (socket === undefined) dial();
      const stream = await navigator.mediaDevices.getUserMedia({ audio: true });
      closeMicrophone = await openMicrophone(stream, (samples) => {
        const octets = new Uint8Array(samples.buffer);
        send({ type: 'input_audio_buffer.append', audio: btoa(String.fromCharCode(...octets)) });
      });
      return clickedAt;
    },
    send,
    interrupt() {
      const { itemId, playedMs } = player.stop();
      send({ type: 'response.cancel' });
      send({
        type: 'conversation.item.truncate',
        item_id: itemId,
        content_index: 0,
        audio_end_ms: playedMs,
      });
    },
    answer: () => player.figures(),
    notes: () => `dialled ${dials} times, ${Math.round((socket?.bufferedAmount ?? 0) / 1024)} KiB not sent`,
    async hangUp() {
      over = true;
      await closeMicrophone?.();
      player.stop();
      socket.close();
    },
  };
}

/** Plays deltas one behind the other, as most pages do: a source for each, scheduled where the one before it ends. */
class Player {
  #context;
  #sources = new Set();
  #endsAt = 0;
  #startedAt = 0;
  #itemId;
  #received = 0;
  #interrupted;

  add(itemId, base64) {
    // What comes of an answer that was interrupted is not played, as in the players of OpenAI's samples.
    if (itemId === this.#interrupted) return;
    const context = this.#open();
    if (itemId !== this.#itemId) {
      this.#itemId = itemId;
      this.#received = 0;
      this.#startedAt = Math.max(context.currentTime, this.#endsAt);
    }
    const octets = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const samples = Float32Array.from(new Int16Array(octets.buffer), (sample) => sample / 32_768);
    const buffer = context.createBuffer(1, samples.length, 24_000);
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(this.#output);
    this.#endsAt = Math.max(context.currentTime, this.#endsAt);
    source.start(this.#endsAt);
    this.#endsAt += buffer.duration;
    this.#received += samples.length;
    this.#sources.add(source);
    source.onended = () => this.#sources.delete(source);
  }

  #output;
  #open() {
    if (this.#context === undefined) {
      this.#context = new AudioContext({ sampleRate: 24_000 });
      this.#output = new GainNode(this.#context);
      this.#output.connect(this.#context.destination);
      window.onOutput?.(this.#output);
    }
    return this.#context;
  }

  stop() {
    const { played } = this.figures();
    this.#interrupted = this.#itemId;
    for (const source of this.#sources) source.stop();
    this.#sources.clear();
    this.#endsAt = 0;
    return { itemId: this.#itemId, playedMs: Math.floor(played / 24) };
  }

  figures() {
    const playedSeconds = Math.max(0, (this.#context?.currentTime ?? 0) - this.#startedAt);
    return { received: this.#received, played: Math.min(this.#received, playedSeconds * 24_000) };
  }
}
