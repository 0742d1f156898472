import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { WebSocketServer } from 'ws';
import { answerParent } from './child.ts';

/** The upstream of the calls benchmark: counts what it hears and may say it back at once, in the Realtime API's own events. */

/** Octets of audio heard since they were last asked for. */
let heardOctets = 0;
/** Whether it says back what it hears. */
let echo = false;

function start(certificatePath: string, keyPath: string): Promise<number> {
  const server = createServer({ cert: readFileSync(certificatePath), key: readFileSync(keyPath) });
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  const place = { response_id: 'resp_bench', item_id: 'item_bench', output_index: 0, content_index: 0 };
  sockets.on('connection', (socket) => {
    socket.on('error', () => {});
    socket.send(
      JSON.stringify({ type: 'session.created', event_id: 'event_0', session: { type: 'realtime' } }),
    );
    socket.on('message', (data) => {
      const event = JSON.parse(String(data)) as { type: string; audio?: string };
      if (event.type !== 'input_audio_buffer.append' || event.audio === undefined) return;
      heardOctets += Buffer.byteLength(event.audio, 'base64');
      if (!echo) return;
      const delta = {
        type: 'response.output_audio.delta',
        event_id: 'event_1',
        ...place,
        delta: event.audio,
      };
      socket.send(JSON.stringify(delta));
    });
  });
  return new Promise((resolve) => {
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

answerParent((request) => {
  if (request.op === 'start') return start(String(request.certificate), String(request.key));
  if (request.op === 'echo') {
    echo = request.echo === true;
    return undefined;
  }
  if (request.op !== 'heard') throw new Error(`unknown request ${request.op}`);
  const octets = heardOctets;
  heardOctets = 0;
  return octets;
});
