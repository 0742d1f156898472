/** What a text holds, or the place at which it stops being JSON: line and column, both from 1. */
export type JsonResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly line: number; readonly column: number };

const SPACE = /[ \t\n\r]*/y;
/** One token of JSON: punctuation, a string, or a name or number. */
const TOKEN =
  /([[\]{},:])|("(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;

type Token = '{' | '}' | '[' | ']' | ',' | ':' | 'string' | 'literal';
/** What may come next. */
type State = 'value' | 'first item' | 'first key' | 'key' | 'colon' | 'after item' | 'after member' | 'end';
/** The state that follows, or that a list or object begins or ends, or that a value is complete. */
type Step = State | 'open' | 'close' | 'done';

const VALUE = { '{': 'open', '[': 'open', string: 'done', literal: 'done' } as const;
const STEPS: Readonly<Record<State, Partial<Record<Token, Step>>>> = {
  value: VALUE,
  'first item': { ...VALUE, ']': 'close' },
  'first key': { string: 'colon', '}': 'close' },
  key: { string: 'colon' },
  colon: { ':': 'value' },
  'after item': { ',': 'value', ']': 'close' },
  'after member': { ',': 'key', '}': 'close' },
  end: {},
};

function afterValue(around: '{' | '[' | undefined): State {
  if (around === undefined) return 'end';
  return around === '{' ? 'after member' : 'after item';
}

/** Index of the first token that may not stand where it does; the text's length when it ends too early. */
function faultAt(text: string): number {
  const open: ('{' | '[')[] = [];
  let state: State = 'value';
  let at = 0;
  for (;;) {
    SPACE.lastIndex = at;
    SPACE.test(text);
    TOKEN.lastIndex = SPACE.lastIndex;
    const match = TOKEN.exec(text);
    const token = (match?.[1] ?? (match?.[2] === undefined ? 'literal' : 'string')) as Token;
    const step: Step | undefined = match === null ? undefined : STEPS[state][token];
    if (step === undefined) return SPACE.lastIndex;
    at = TOKEN.lastIndex;
    if (step === 'open') {
      open.push(token as '{' | '[');
      state = token === '{' ? 'first key' : 'first item';
    } else if (step === 'close' || step === 'done') {
      if (step === 'close') open.pop();
      state = afterValue(open.at(-1));
    } else state = step;
  }
}

/**
 * Parses JSON (RFC 8259). `JSON.parse` names a fault by quoting the text around it, and in a file of keys that is part of a
 * key: here only its place is given.
 */
export function parseJson(text: string): JsonResult {
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch {
    const before = text.slice(0, faultAt(text)).split('\n');
    return { ok: false, line: before.length, column: before.at(-1)!.length + 1 };
  }
}
