import { type Field, headerValue } from '../http3/index.ts';
import { UsageError } from '../quic/index.ts';

/** Header of a CONNECT that offers application protocols, and of the answer that chose one (draft-ietf-webtrans-http3 §3.3). */
const OFFER = 'wt-available-protocols';
const CHOICE = 'wt-protocol';

/** A String of RFC 9651 §3.3.3, between its quotes. */
const STRING = /"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"/y;
/** A parameter (RFC 9651 §3.1.2), of which only the extent matters: no value but a string holds a comma or a semicolon. */
const PARAMETER = /; *[a-z*][a-z0-9_.*-]*(?:=(?:%?"(?:[^"\\]|\\.)*"|[^;, "]+))?/y;
const COMMA = /[ \t]*,[ \t]*/y;
const PRINTABLE = /^[\x20-\x7e]*$/;

/** Reads a list of Strings; `undefined` when it is anything else, which makes the field as good as absent. */
function parseStrings(text: string): string[] | undefined {
  const strings: string[] = [];
  let at = 0;
  const take = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (found !== null) at = pattern.lastIndex;
    return found;
  };
  for (;;) {
    const found = take(STRING);
    if (found === null) return undefined;
    strings.push((found[1] as string).replaceAll(/\\(.)/g, '$1'));
    while (take(PARAMETER) !== null);
    if (at === text.length) return strings;
    if (take(COMMA) === null) return undefined;
  }
}

function encodeString(text: string): string {
  if (!PRINTABLE.test(text))
    throw new UsageError(`protocol ${JSON.stringify(text)} must be of printable ASCII`);
  return `"${text.replaceAll(/["\\]/g, '\\$&')}"`;
}

/** What a client offers, the most wanted first; none when it offers nothing, or nothing that can be read. */
export function offeredProtocols(headers: readonly Field[]): readonly string[] {
  const lines = headers.filter(([name]) => name === OFFER).map(([, value]) => value.trim());
  // RFC 9651 §4.2: a list may be spread over lines.
  return (lines.length > 0 && parseStrings(lines.join(', '))) || [];
}

/** What the server chose, if it did and said so in a way that can be read. */
export function chosenProtocol(headers: readonly Field[]): string | undefined {
  const value = headerValue(headers, CHOICE);
  const strings = value === undefined ? undefined : parseStrings(value.trim());
  return strings?.length === 1 ? strings[0] : undefined;
}

/** Throws `UsageError` when a protocol is not printable ASCII. */
export function offerField(protocols: readonly string[]): Field {
  return [OFFER, protocols.map(encodeString).join(', ')];
}

/** Throws `UsageError` when it was not offered: the client would have to end the session. */
export function choiceField(chosen: string, offered: readonly string[]): Field {
  if (!offered.includes(chosen)) throw new UsageError(`protocol ${chosen} was not offered by the client`);
  return [CHOICE, encodeString(chosen)];
}
