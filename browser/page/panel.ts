import type { CallStats } from '../index.ts';
import { element, setText } from './dom.ts';
import { count, duration, ms, NOTHING, octets } from './format.ts';

const FIELDS = [
  'ready',
  'handshake',
  'rtt',
  'backend',
  'server-id',
  'upstream',
  'up',
  'down',
  'lost',
  'microphone-buffer',
  'answer-buffer',
  'underruns',
  'paths',
  'forwarders',
  'samples',
] as const;
type Field = (typeof FIELDS)[number];

/** The figures of the connection. */
export class Panel {
  readonly #fields = new Map<Field, HTMLElement>(FIELDS.map((name) => [name, element(`f-${name}`)]));

  clear(): void {
    for (const name of FIELDS) this.#set(name, NOTHING);
  }

  upstream(name: 'openai' | 'local'): void {
    this.#set('upstream', name === 'openai' ? 'OpenAI Realtime' : 'Local echo');
  }

  show(stats: CallStats): void {
    const { transport, microphone, playback } = stats;
    this.#set('ready', ms(stats.readyMs));
    this.#set('handshake', ms(stats.handshakeMs));
    this.#set('backend', stats.backend ?? NOTHING);
    this.#set('server-id', stats.serverId ?? NOTHING);
    this.#set('microphone-buffer', duration(microphone.bufferedMs));
    this.#set('answer-buffer', duration(playback.bufferedMs));
    this.#set('underruns', count(playback.underruns));
    this.#set('paths', count(stats.pathChanges));
    this.#set('forwarders', count(stats.forwarderChanges));
    this.#set('samples', count(microphone.sentSamples));
    if (transport === undefined) return;
    this.#set('rtt', ms(transport.rttMs));
    this.#set('up', `${octets(transport.octetsReceived)} · ${count(transport.packetsReceived)} packets`);
    this.#set('down', `${octets(transport.octetsSent)} · ${count(transport.packetsSent)} packets`);
    this.#set('lost', count(transport.packetsLost));
  }

  #set(name: Field, value: string): void {
    const target = this.#fields.get(name);
    if (target !== undefined) setText(target, value);
  }
}
