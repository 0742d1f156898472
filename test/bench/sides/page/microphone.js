/** A microphone whose audio comes in chunks of 20 ms of PCM16 at 24 kHz, from the same worklet for all carriers. */
export async function openMicrophone(stream, onChunk) {
  const context = new AudioContext({ sampleRate: 24_000 });
  await context.audioWorklet.addModule('worklets/microphone.js');
  const source = context.createMediaStreamSource(stream);
  const node = new AudioWorkletNode(context, 'parley-microphone', {
    numberOfOutputs: 1,
    channelCount: 1,
    channelCountMode: 'explicit',
  });
  node.port.onmessage = ({ data }) => {
    if (data.type === 'chunk') onChunk(data.samples);
  };
  node.port.postMessage({ type: 'open' });
  source.connect(node).connect(context.destination);
  return () => {
    source.disconnect();
    return context.close();
  };
}

/** By the clock of the machine, which the upstream shares. */
export const now = () => performance.timeOrigin + performance.now();
