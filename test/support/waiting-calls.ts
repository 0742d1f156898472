import { type Call, serveVoice } from '../../server/bridge/index.ts';
import { CallTable, type SealCipher, Sealer } from '../../server/call/index.ts';
import { memorySessionPair } from './memory-session.ts';
import { voiceContext } from './voice-context.ts';
import { FakeUpstream, HELLO, VoicePage } from './voice-page.ts';

/** How long a call may take to be ready, in ms. */
const READY_MS = 10_000;

/** A backend's calls, each begun by a page that is then lost. */
export interface WaitingCalls {
  readonly calls: CallTable<Call>;
  readonly upstreams: FakeUpstream[];
  /** Begins a call, has some turns of conversation in it, and loses its session. */
  abandon(turns: number): Promise<void>;
}

const turn = async (ticks: number) => {
  for (let i = 0; i < ticks; i++) await new Promise<void>((resolve) => setImmediate(resolve));
};

/** The bridge as it ships, over sessions in memory, with upstreams that answer nothing of their own. */
export function waitingCalls(resumeSeconds: number, maxWaiting: number, cipher?: SealCipher): WaitingCalls {
  const calls = new CallTable<Call>({ resumeSeconds, maxWaiting });
  const sealer = new Sealer(new Uint8Array(32).fill(1), Date.now, cipher);
  const upstreams: FakeUpstream[] = [];
  return {
    calls,
    upstreams,
    async abandon(turns) {
      const { client, server } = memorySessionPair();
      const upstream = new FakeUpstream().open();
      upstreams.push(upstream);
      const served = serveVoice(server, {
        ...voiceContext(upstream),
        resume: { calls, sealer },
      });
      const page = new VoicePage(client);
      await page.start(HELLO);
      const end = Date.now() + READY_MS;
      while (page.find('parley.ready') === undefined) {
        if (Date.now() > end) throw new Error('no parley.ready came');
        await turn(1);
      }
      for (let i = 0; i < turns; i++) {
        const item = { id: `item_${i}`, type: 'message', role: 'user' };
        const content = [
          { type: 'input_text', text: 'What is the weather like in Oslo today, and tomorrow?' },
        ];
        upstream.emit({ type: 'conversation.item.added', item: { ...item, content } });
      }
      await turn(5);
      client.lose();
      await served;
    },
  };
}
