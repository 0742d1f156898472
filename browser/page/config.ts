import { CallError, type CodecOption } from '../index.ts';

/** What the page server says in /config.json. */
export interface PageConfig {
  readonly url: string;
  readonly certificateHashes?: readonly string[];
  readonly tcpUrl?: string;
  /** Where a token is to be had before each dial. */
  readonly tokenUrl?: string;
  readonly upstream?: string;
  /** How the microphone's audio travels; by the state of the network unless it is said. */
  readonly codec?: CodecOption;
  /** How long the network must keep up before PCM is tried again, in ms. */
  readonly codecCalmMs?: number;
  /** What can be broken from here: `npm start` alone says so. */
  readonly faults?: readonly string[];
}

/** The page's settings. Fetched ahead of the first call, so that it need not wait for them. */
export async function loadConfig(): Promise<PageConfig> {
  try {
    const response = await fetch('/config.json', { cache: 'no-store' });
    if (!response.ok) throw new Error(`the page server answered ${response.status}`);
    return (await response.json()) as PageConfig;
  } catch (error) {
    throw new CallError(
      'bad_options',
      'The page could not read its settings (/config.json).',
      'Check that the page server runs, then press Talk again.',
      { cause: error },
    );
  }
}

/** A token of the page's own server. What it throws is shown to the caller. */
export async function fetchToken(tokenUrl: string): Promise<string> {
  const response = await fetch(tokenUrl, { cache: 'no-store' });
  if (!response.ok) throw new Error(`the page server answered ${response.status}`);
  return response.text();
}
