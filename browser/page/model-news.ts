import type { Message } from '../../proto/voice/index.ts';

/** What the speech model says of itself, for a person. */
export interface ModelNews {
  readonly tone: 'plain' | 'bad';
  readonly text: string;
}

/** Longest sentence of the model that is shown, in characters. */
const MAX_LENGTH = 300;

type Fields = Readonly<Record<string, unknown>>;

const INCOMPLETE: Readonly<Record<string, string>> = {
  max_output_tokens: 'The answer ended early: it reached the longest length that is allowed.',
  content_filter: 'The answer ended early: the content filter of the speech model stopped it.',
};

/** What an event of the Realtime API says that the transcript does not show: errors, and answers that did not complete. */
export function modelNews(event: Message): ModelNews | undefined {
  if (event.type === 'error') {
    return { tone: 'bad', text: `The speech model reports an error: ${reason(fields(event.error))}` };
  }
  return event.type === 'response.done' ? responseNews(fields(event.response)) : undefined;
}

function responseNews(response: Fields): ModelNews | undefined {
  const details = fields(response.status_details);
  const why = typeof details.reason === 'string' ? details.reason : '';
  switch (response.status) {
    case 'failed':
      return { tone: 'bad', text: `The speech model could not answer: ${reason(fields(details.error))}` };
    case 'incomplete':
      return { tone: 'bad', text: INCOMPLETE[why] ?? 'The answer ended early.' };
    case 'cancelled':
      return {
        tone: 'plain',
        text: why === 'turn_detected' ? 'You spoke, and the answer stopped.' : 'The answer was stopped.',
      };
    default:
      return undefined;
  }
}

/** The API's own words where there are some, else its code. */
function reason(error: Fields): string {
  const said = [error.message, error.code, error.type].find(
    (word) => typeof word === 'string' && word !== '',
  );
  const text = typeof said === 'string' ? said : 'it gives no reason';
  const short = text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH)}…` : text;
  return /[.!?…]$/.test(short) ? short : `${short}.`;
}

function fields(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
