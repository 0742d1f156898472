/** libwebrtc's binding for Node, as far as it is used; its own types want those of a browser. */

/** 10 ms of audio, or what of it comes at a time. */
export interface AudioFrame {
  readonly samples: Int16Array;
  readonly sampleRate: number;
}

export interface ReceiverStats {
  readonly type: string;
  readonly totalSamplesReceived: number;
  readonly concealedSamples: number;
  readonly packetsReceived: number;
  readonly packetsLost: number;
  readonly packetsDiscarded: number;
}

export interface Track {
  stop(): void;
}

export interface PeerConnection {
  readonly localDescription: { readonly sdp: string };
  readonly iceGatheringState: string;
  readonly connectionState: string;
  addTrack(track: Track): unknown;
  setRemoteDescription(description: { type: 'offer' | 'answer'; sdp: string }): Promise<void>;
  createOffer(): Promise<object>;
  createAnswer(): Promise<object>;
  setLocalDescription(description: object): Promise<void>;
  getStats(): Promise<Map<string, ReceiverStats>>;
  close(): void;
  ontrack: (event: { readonly track: Track }) => void;
  onicegatheringstatechange: () => void;
  onconnectionstatechange: () => void;
}

interface WebRtc {
  readonly RTCPeerConnection: new () => PeerConnection;
  readonly nonstandard: {
    readonly RTCAudioSink: new (track: Track) => { ondata: (frame: AudioFrame) => void; stop(): void };
    readonly RTCAudioSource: new () => {
      createTrack(): Track;
      onData(
        frame: AudioFrame & { bitsPerSample: number; channelCount: number; numberOfFrames: number },
      ): void;
    };
  };
}

const { default: webrtc } = (await import('@roamhq/wrtc')) as unknown as { default: WebRtc };

export const { RTCPeerConnection, nonstandard } = webrtc;

/** libwebrtc gives and takes 10 ms at 48 kHz. */
export const RTC_RATE = 48_000;
export const RTC_FRAME = 480;
const RTC_FRAME_MS = 10;

/** Sets the description, and gives it once all candidates are in it: the Realtime API takes none later. */
export async function describeLocally(connection: PeerConnection, description: object): Promise<string> {
  const gathered = new Promise<void>((resolve) => {
    connection.onicegatheringstatechange = () => {
      if (connection.iceGatheringState === 'complete') resolve();
    };
  });
  await connection.setLocalDescription(description);
  await gathered;
  return connection.localDescription.sdp;
}

/** Gives a source of audio as many frames of 10 ms as are due, from its start on. */
export class Feed {
  readonly #source = new nonstandard.RTCAudioSource();
  readonly track = this.#source.createTrack();
  readonly #next: () => Int16Array;
  #timer: NodeJS.Timeout | undefined;
  #startedMs = 0;
  #frames = 0;

  /** @param next gives the samples of each. */
  constructor(next: () => Int16Array) {
    this.#next = next;
  }

  start(): void {
    this.#startedMs = performance.now();
    this.#timer = setInterval(() => this.#play(), RTC_FRAME_MS);
  }

  #play(): void {
    const due = Math.floor((performance.now() - this.#startedMs) / RTC_FRAME_MS);
    for (; this.#frames < due; this.#frames++)
      this.#source.onData({
        samples: this.#next(),
        sampleRate: RTC_RATE,
        bitsPerSample: 16,
        channelCount: 1,
        numberOfFrames: RTC_FRAME,
      });
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
