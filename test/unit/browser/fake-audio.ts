import { vi } from 'vitest';
import { loadCarriers } from '../../../browser/dial.ts';
import { loadLateParts } from '../../../browser/late-parts.ts';

type Listener = (event: { data: never }) => void;

/** One end of a worklet's port: what is posted arrives in a task of its own, as between threads. */
class FakePort {
  onmessage: Listener | null = null;
  other!: FakePort;

  postMessage(data: unknown): void {
    const { other } = this;
    queueMicrotask(() => other.onmessage?.({ data: data as never }));
  }
}

interface Processor {
  readonly port: FakePort;
  process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
}

const processors = new Map<string, new () => Processor>();
let nextPort: FakePort | undefined;

/** Samples of one block of an AudioWorklet. */
export const BLOCK = 128;

/** A node that runs the real processor, when the test says so. */
export class FakeWorkletNode {
  static byName = new Map<string, FakeWorkletNode>();
  readonly port = new FakePort();
  readonly context: FakeAudioContext;
  readonly inputs = new Set<object>();
  readonly #processor: Processor;

  constructor(context: FakeAudioContext, name: string) {
    this.context = context;
    const inner = new FakePort();
    inner.other = this.port;
    this.port.other = inner;
    nextPort = inner;
    const Made = processors.get(name);
    if (Made === undefined) throw new DOMException(`${name} is not registered`, 'InvalidStateError');
    this.#processor = new Made();
    FakeWorkletNode.byName.set(name, this);
  }

  connect<Next>(next: Next): Next {
    return next;
  }

  /** Runs blocks: with `sample` at the input, or none; gives what came out. */
  run(blocks: number, sample?: number): number[] {
    const heard: number[] = [];
    for (let i = 0; i < blocks; i++) {
      const input = sample === undefined ? [] : [new Float32Array(BLOCK).fill(sample)];
      const output = new Float32Array(BLOCK);
      this.#processor.process([input], [[output]]);
      heard.push(...output);
    }
    return heard;
  }
}

/** Firefox's manner: it says 'closed' later than it closes, and refuses to close twice. */
export class FakeAudioContext extends EventTarget {
  static all: FakeAudioContext[] = [];
  /** Whether the system lets contexts run. */
  static allowed = true;
  /** Loading a module whose URL matches fails. */
  static refusedModules: RegExp | undefined;
  readonly sampleRate: number;
  readonly modules: string[] = [];
  readonly destination = {};
  readonly currentTime = 0;
  /** Volumes that were set. */
  readonly volumes: number[] = [];
  readonly sinks: string[] = [];
  state = 'suspended';
  closed = false;
  readonly audioWorklet = {
    addModule: async (url: string | URL): Promise<void> => {
      this.modules.push(String(url));
      if (FakeAudioContext.refusedModules?.test(String(url))) throw new DOMException('no', 'AbortError');
    },
  };

  constructor(options: { sampleRate?: number }) {
    super();
    this.sampleRate = options.sampleRate ?? 48_000;
    FakeAudioContext.all.push(this);
  }

  async resume(): Promise<void> {
    if (!FakeAudioContext.allowed) return new Promise(() => {});
    this.become('running');
  }

  async suspend(): Promise<void> {
    this.become('suspended');
  }

  async close(): Promise<void> {
    if (this.closed) throw new DOMException("Can't close an AudioContext twice", 'InvalidStateError');
    this.closed = true;
  }

  createGain() {
    const gain = { setTargetAtTime: (volume: number) => this.volumes.push(volume) };
    return { gain, connect: <Next>(next: Next): Next => next };
  }

  async setSinkId(deviceId: string): Promise<void> {
    if (deviceId === 'gone') throw new DOMException('no such device', 'NotFoundError');
    this.sinks.push(deviceId);
  }

  createMediaStreamSource(stream: object): { connect(node: FakeWorkletNode): void; disconnect(): void } {
    let joined: FakeWorkletNode | undefined;
    return {
      connect: (node) => {
        joined = node;
        node.inputs.add(stream);
      },
      disconnect: () => joined?.inputs.delete(stream),
    };
  }

  /** The system stops it, or lets it run again. */
  become(state: string): void {
    if (this.state === state) return;
    this.state = state;
    this.dispatchEvent(new Event('statechange'));
  }
}

export class FakeTrack extends EventTarget {
  muted = false;
  stopped = false;

  stop(): void {
    this.stopped = true;
  }

  tell(name: 'mute' | 'unmute' | 'ended'): void {
    if (name !== 'ended') this.muted = name === 'mute';
    this.dispatchEvent(new Event(name));
  }
}

/** The part of a browser that gives sound: contexts, worklets, and a microphone that `ask` answers for. */
export class FakeBrowserAudio {
  readonly window = new EventTarget();
  readonly document = new EventTarget();
  readonly tracks: FakeTrack[] = [];
  readonly asked: MediaTrackConstraints[] = [];
  readonly mediaDevices = Object.assign(new EventTarget(), {
    getUserMedia: async ({ audio }: { audio: MediaTrackConstraints }) => {
      this.asked.push(audio);
      await this.ask(audio);
      const track = new FakeTrack();
      this.tracks.push(track);
      return { getTracks: () => [track], getAudioTracks: () => [track] };
    },
  });
  /** What the browser does when it is asked for a microphone: it gives one when this fulfils. */
  ask: (audio: MediaTrackConstraints) => Promise<void> = async () => {};

  get contexts(): FakeAudioContext[] {
    return FakeAudioContext.all;
  }

  get track(): FakeTrack {
    return this.tracks.at(-1)!;
  }

  worklet(name: 'parley-microphone' | 'parley-playback'): FakeWorkletNode {
    return FakeWorkletNode.byName.get(name)!;
  }

  static async install(): Promise<FakeBrowserAudio> {
    const audio = new FakeBrowserAudio();
    FakeAudioContext.all = [];
    FakeAudioContext.allowed = true;
    FakeAudioContext.refusedModules = undefined;
    FakeWorkletNode.byName.clear();
    vi.stubGlobal('AudioContext', FakeAudioContext);
    vi.stubGlobal('AudioWorkletNode', FakeWorkletNode);
    vi.stubGlobal('navigator', { mediaDevices: audio.mediaDevices });
    vi.stubGlobal('document', audio.document);
    vi.stubGlobal('isSecureContext', true);
    vi.stubGlobal('addEventListener', audio.window.addEventListener.bind(audio.window));
    vi.stubGlobal('removeEventListener', audio.window.removeEventListener.bind(audio.window));
    vi.stubGlobal('sampleRate', 24_000);
    vi.stubGlobal(
      'AudioWorkletProcessor',
      class {
        readonly port = nextPort!;
      },
    );
    vi.stubGlobal('registerProcessor', (name: string, made: new () => Processor) => {
      processors.set(name, made);
    });
    // The worklets register when they are loaded, which happens once.
    await import('../../../browser/worklets/microphone.ts');
    await import('../../../browser/worklets/playback.ts');
    // So is what a call loads on demand: with the clock of these tests no file would come.
    await Promise.all([loadCarriers(), loadLateParts()]);
    return audio;
  }
}

/** Lets everything that is already on its way arrive. */
export async function arrive(): Promise<void> {
  for (let i = 0; i < 40; i++) await new Promise((resolve) => setImmediate(resolve));
}
