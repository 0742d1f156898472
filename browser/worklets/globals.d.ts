/** What an AudioWorkletGlobalScope adds; TypeScript's DOM library leaves it out. */
declare abstract class AudioWorkletProcessor {
  readonly port: MessagePort;
  abstract process(inputs: Float32Array[][], outputs: Float32Array[][]): boolean;
}
declare function registerProcessor(name: string, processor: new () => AudioWorkletProcessor): void;
/** Samples per second of the context that runs the worklet. */
declare const sampleRate: number;
