import { expect, test } from 'vitest';
import { encodeMessage, SessionCloseCode } from '../../../proto/voice/index.ts';
import { encodeVarint } from '../../../proto/wire/index.ts';
import { serveVoice, UnfinishedMessages } from '../../../server/bridge/index.ts';
import { memorySessionPair } from '../../support/memory-session.ts';
import { until } from '../../support/realtime.ts';
import { voiceContext } from '../../support/voice-context.ts';
import { FakeUpstream, HELLO, VoicePage } from '../../support/voice-page.ts';

const PIECE_OCTETS = 256 << 10;
const MAX_OCTETS = 4 << 20;
/** Of 8 MiB each, of which 7.9 are sent. */
const ANNOUNCED_OCTETS = 8 << 20;

function serve(unfinished: UnfinishedMessages) {
  const { client, server } = memorySessionPair();
  const upstream = new FakeUpstream().open();
  const served = serveVoice(server, {
    ...voiceContext(upstream),
    unfinished,
  });
  return { client, upstream, served };
}

test('messages that never end hold no more than the bound of the process, and a long one that does end passes', async () => {
  const unfinished = new UnfinishedMessages(MAX_OCTETS);
  let most = 0;
  const attackers = await Promise.all(
    Array.from({ length: 12 }, async () => {
      const { client, served } = serve(unfinished);
      let closeCode: number | undefined;
      void client.closed.then((info) => {
        closeCode = info.closeCode;
      });
      const { writable } = await client.createBidirectionalStream();
      const writer = writable.getWriter();
      writer.closed.catch(() => undefined);
      await writer.write(encodeMessage(HELLO));
      await writer.write(encodeVarint(ANNOUNCED_OCTETS));
      const send = async () => {
        for (let sent = 0; sent < 0.98 * ANNOUNCED_OCTETS && closeCode === undefined; sent += PIECE_OCTETS) {
          await writer.write(new Uint8Array(PIECE_OCTETS).fill(0x20)).catch(() => undefined);
          most = Math.max(most, unfinished.octets);
        }
      };
      return { client, served, send, closeCode: () => closeCode };
    }),
  );
  const sending = Promise.all(attackers.map(({ send }) => send()));
  await until(() => most > MAX_OCTETS / 2, 'the attack is under way');
  const { client, upstream, served } = serve(unfinished);
  const page = await new VoicePage(client).start();
  await until(() => page.find('parley.ready') !== undefined, 'parley.ready');
  const image_url = `data:image/png;base64,${'A'.repeat(200_000)}`;
  await page.send({
    type: 'conversation.item.create',
    item: { type: 'message', role: 'user', content: [{ type: 'input_image', image_url }] },
  } as { type: string });
  await until(() => upstream.texts.some((text) => text.length > 200_000), 'the image is there');
  await sending;
  expect(most).toBeLessThanOrEqual(MAX_OCTETS);
  const closed = attackers.filter(({ closeCode }) => closeCode() === SessionCloseCode.QUEUE_FULL);
  expect(closed.length).toBeGreaterThanOrEqual(attackers.length - 4);
  for (const { client: attacker } of attackers) attacker.close();
  client.close();
  await Promise.all([served, ...attackers.map((attacker) => attacker.served)]);
  expect(unfinished.octets).toBe(0);
}, 60_000);
