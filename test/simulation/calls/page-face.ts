import type { AnswerHeader, Message, Resume, ServerMessage } from '../../../proto/voice/index.ts';
import type { ModelUpstream } from './upstream.ts';

/** What a page tells the checkers of its call. */
export interface PageWitness {
  ready(how: 'new' | 'attached' | 'restored', session: string, omittedItems: number): void;
  own(message: ServerMessage): void;
  checkpoint(message: { readonly microphoneSamples: number; readonly events: number }): void;
  rewound(omittedItems: number): void;
  event(message: Message): void;
  answerBegins(header: AnswerHeader): void;
  answer(header: AnswerHeader, octets: Uint8Array): void;
  answerEnds(header: AnswerHeader, complete: boolean): void;
  /** Answers that were not whole will not go on. */
  brokenOff(): void;
  reconnecting(): void;
  /** Something came from the backend. */
  anythingCame?(): void;
  failed(reason: string, closeCode: number | undefined): void;
}

/** The caller's page: what ships for browsers, without audio devices. */
export interface Page {
  readonly attached: boolean;
  /** What pages show of their call, so that it is found in logs; undefined before it is ready. */
  readonly callId: string | undefined;
  readonly samples: number;
  readonly receivedSamples: number;
  /** Samples kept to be sent again, and those that fell out of the bound. */
  readonly keptSamples: number;
  readonly forgottenSamples: number;
  readonly pendingEvents: number;
  readonly elapsedMs: number;
  /** Number of the attempt by which the page's session attached last; 0 for the first session. */
  readonly attachment: number;
  start(): Promise<void>;
  beginStretch(): void;
  speak(samples: Int16Array): void;
  endStretch(): void;
  /** An event of the Realtime API, in its place among the audio where it has one. */
  send(event: Message): void;
  wake(): void;
  /** What another tab with the same ticket would say hello with. */
  copyResume(): Resume | undefined;
  finish(): void;
  close(closeCode: number, reason: string): void;
}

export interface PageOptions {
  readonly url: string;
  readonly token: string;
  readonly resumeFor: number;
  readonly certificateHashes?: readonly string[];
}

/** The module `page/page.ts`, which is compiled for browsers and so loaded by its name. */
export interface PageModule {
  openPage(options: PageOptions, witness: PageWitness): Page;
  /** Loads what a page loads on demand: that takes real time, of which a simulated page has none. */
  loadOnDemand(): Promise<void>;
}

/** Where that module is. */
export const PAGE_MODULE = new URL('./page/page.ts', import.meta.url);

/** From its source, or from where it lies compiled. */
export async function loadPages(place = PAGE_MODULE.href): Promise<PageModule> {
  const pages = (await import(place)) as PageModule;
  await pages.loadOnDemand();
  return pages;
}

/** Where a caller's page and its upstream stand, for the report of a failure. */
export function whereStands(page: Page, upstream: ModelUpstream | undefined, failure: unknown): string {
  return JSON.stringify({
    attached: page.attached,
    samples: page.samples,
    received: page.receivedSamples,
    pendingEvents: page.pendingEvents,
    upstream: upstream && {
      number: upstream.number,
      open: upstream.isOpen,
      position: upstream.position,
      idle: upstream.idle,
    },
    failure,
  });
}
