import { describe, expect, it } from 'vitest';
import { parseJson } from '../../../proto/wire/index.ts';

describe('JSON in files', () => {
  it.each([
    [
      '{"a":[1,-2.5e+3,true,false,null,"\\u00e9\\n"],"b":{}}',
      { a: [1, -2500, true, false, null, 'é\n'], b: {} },
    ],
    [' "x" ', 'x'],
  ])('%s is taken as JSON.parse takes it', (text, value) => {
    expect(parseJson(text)).toEqual({ ok: true, value });
  });

  it.each([
    ['', 1, 1],
    ['{', 1, 2],
    ['{"key": "5ec4e7', 1, 9],
    ['{\n  "a": 1,\n}', 3, 1],
    ['{"a": 1\n "b": 2}', 2, 2],
    ['[1,,2]', 1, 4],
    ['[1 2]', 1, 4],
    ['{"a" 1}', 1, 6],
    ['{"a": 01}', 1, 8],
    ['{a: 1}', 1, 2],
    ['[1}', 1, 3],
    ['{"a":1]', 1, 7],
    ['{} {}', 1, 4],
    ["{'a': 1}", 1, 2],
    ['["a\tb"]', 1, 2],
    ['["\\x"]', 1, 2],
    ['\ufeff{}', 1, 1],
  ])('%j stops being JSON at line %i, column %i, and no word of it is repeated', (text, line, column) => {
    expect(parseJson(text)).toEqual({ ok: false, line, column });
  });
});
