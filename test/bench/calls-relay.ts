import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { OpenAI } from 'openai';
import { OpenAIRealtimeWS } from 'openai/realtime/ws';
import { type RawData, type WebSocket, WebSocketServer } from 'ws';
import { answerParent, Meter, type Request } from './child.ts';

/**
 * What people run instead: a relay of WebSockets. Pages speak the Realtime API's events to it over TLS, and it speaks them to the
 * upstream through the official SDK. With `parse` every event is read and made again, as a relay does that looks at what it passes on.
 */

let meter: Meter | undefined;

function toText(data: RawData): string {
  return (data as Buffer).toString('utf8');
}

function relay(page: WebSocket, client: OpenAI, ca: Buffer, parse: boolean): void {
  const upstream = new OpenAIRealtimeWS({ model: 'gpt-realtime', options: { ca } }, client);
  const { socket } = upstream;
  upstream.on('error', () => page.close());
  page.on('error', () => socket.close());
  page.on('close', () => socket.close());
  socket.on('close', () => page.close());
  const send = parse
    ? (text: string) => upstream.send(JSON.parse(text))
    : (text: string) => socket.send(text);
  const early: string[] = [];
  socket.once('open', () => {
    for (const text of early.splice(0)) send(text);
  });
  page.on('message', (data) => {
    if (socket.readyState === socket.CONNECTING) early.push(toText(data));
    else send(toText(data));
  });
  if (parse) {
    upstream.on('event', (event) => page.send(JSON.stringify(event)));
    return;
  }
  socket.removeAllListeners('message');
  socket.on('message', (data) => page.send(toText(data)));
}

function start({ certificate, key, port, parse, host = '127.0.0.1' }: Request): Promise<number> {
  const cert = readFileSync(String(certificate));
  const server = createServer({ cert, key: readFileSync(String(key)) });
  const client = new OpenAI({ apiKey: 'bench', baseURL: `https://localhost:${port}/v1` });
  const sockets = new WebSocketServer({ server, perMessageDeflate: false });
  sockets.on('connection', (page) => relay(page, client, cert, parse === true));
  return new Promise((resolve) => {
    server.listen(0, String(host), () => resolve((server.address() as AddressInfo).port));
  });
}

answerParent(async (request) => {
  switch (request.op) {
    case 'start':
      return start(request);
    case 'meter':
      meter = await Meter.start(request.profile === true);
      return undefined;
    case 'measured':
      return meter!.stop();
    default:
      throw new Error(`unknown request ${request.op}`);
  }
});
