import type { CallStats, Uplink } from '../index.ts';
import { element, setText } from './dom.ts';
import { count, duration, ms, NOTHING, octets } from './format.ts';

/** How long the button says that it copied, in ms. */
const COPIED_MS = 2000;

const FIELDS = [
  'ready',
  'handshake',
  'rtt',
  'backend',
  'server-id',
  'session',
  'upstream',
  'up',
  'down',
  'lost',
  'microphone-buffer',
  'uplink',
  'answer-buffer',
  'underruns',
  'paths',
  'resumptions',
  'carrier',
  'forwarders',
  'samples',
] as const;

/** The carrier in words. */
const CARRIERS = { webtransport: 'WebTransport', tcp: 'TCP', none: NOTHING } as const;

type Field = (typeof FIELDS)[number];

const UPSTREAM_NAMES = { openai: 'OpenAI Realtime', local: 'Local echo', custom: "The app's own" } as const;

/** The figures of the connection. */
export class Panel {
  readonly #fields = new Map<Field, HTMLElement>(FIELDS.map((name) => [name, element(`f-${name}`)]));

  readonly #copy = element<HTMLButtonElement>('copy-session');

  constructor() {
    this.#copy.addEventListener('click', () => void this.#copySession());
  }

  clear(): void {
    for (const name of FIELDS) this.#set(name, NOTHING);
    this.#copy.hidden = true;
  }

  upstream(name: 'openai' | 'local' | 'custom'): void {
    this.#set('upstream', UPSTREAM_NAMES[name]);
  }

  show(stats: CallStats): void {
    const { transport, microphone, playback } = stats;
    this.#set('ready', ms(stats.readyMs));
    this.#set('handshake', ms(stats.handshakeMs));
    this.#set('backend', stats.backend ?? NOTHING);
    this.#set('server-id', stats.serverId ?? NOTHING);
    this.#set('session', stats.sessionId ?? NOTHING);
    this.#copy.hidden = stats.sessionId === undefined;
    this.#set('microphone-buffer', duration(microphone.bufferedMs));
    this.#set('uplink', uplinkFigures(microphone.uplink));
    this.#set('resumptions', count(stats.resumptions));
    this.#set('carrier', CARRIERS[stats.carrier ?? 'none']);
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

  /** For the operator's log. Where the page may not write to the clipboard, the text is selected instead. */
  async #copySession(): Promise<void> {
    const field = element('f-session');
    try {
      await navigator.clipboard.writeText(field.textContent ?? '');
      setText(this.#copy, 'Copied');
      setTimeout(() => setText(this.#copy, 'Copy'), COPIED_MS);
    } catch {
      getSelection()?.selectAllChildren(field);
    }
  }

  #set(name: Field, value: string): void {
    const target = this.#fields.get(name);
    if (target !== undefined) setText(target, value);
  }
}

/** The codec of the microphone's audio, what it saves, and how long the network has it wait. */
function uplinkFigures({ codec, waitingMs, savedOctets, limited }: Uplink): string {
  const name = codec === 'opus' ? 'Opus' : 'PCM';
  const saved = savedOctets > 0 ? ` · ${octets(savedOctets)} saved` : '';
  return `${name}${saved}${limited ? ` · ${duration(waitingMs)} behind` : ''}`;
}
