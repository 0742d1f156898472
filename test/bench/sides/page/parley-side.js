import { now } from './microphone.js';
import { connect, prepare } from './parley.js';

/** Parley's library, as a page uses it. */
export function parleySide({ parley }) {
  let call;
  return {
    async prepare() {
      call = prepare(parley);
      await call.ready;
    },
    async talk() {
      const clickedAt = now();
      if (call) call.talk();
      else call = connect(parley);
      await call.ready;
      return clickedAt;
    },
    send: (event) => call.send(event),
    interrupt: () => call.interrupt(),
    /** Of the last answer, what came and what was played, in samples. */
    answer() {
      const last = call.answers.at(-1);
      return { received: last?.receivedSamples ?? 0, played: last?.playedSamples ?? 0 };
    },
    /** What the library says of the call, for the notes below a table. */
    notes: () => `${call.stats.microphone.uplink.codec}, resumed ${call.stats.resumptions} times`,
    async hangUp() {
      await call.hangUp();
    },
  };
}
