import { describe, expect, it } from 'vitest';
import { chooseTool } from '../../../server/realtime/local/tool-call.ts';

const tool = (
  name: string,
  values?: Record<string, unknown>,
  required: unknown = Object.keys(values ?? {}),
) => ({
  type: 'function',
  name,
  parameters: {
    type: 'object',
    properties: Object.fromEntries(Object.entries(values ?? {}).map(([key, of]) => [key, { enum: of }])),
    required,
  },
});
const TOOLS = [
  tool('show', { planet: ['Mars', 'Saturn', 'all'] }),
  tool('theme', { theme: ['light', 'dark'] }),
  tool('both', { planet: ['Mars'], size: ['big', 'very big'] }),
];

describe('the function that the local service calls', () => {
  it.each([
    ['Show me Mars', 'show', { planet: 'Mars' }],
    ['and now SATURN, please!', 'show', { planet: 'Saturn' }],
    ['Make it dark.', 'theme', { theme: 'dark' }],
    ['mars, very big', 'both', { planet: 'Mars', size: 'big' }],
  ])('is the one whose arguments stand among the words: %s', (words, name, given) => {
    expect(chooseTool(TOOLS, 'auto', words)).toEqual({ name, arguments: JSON.stringify(given) });
  });

  it('is none where the words give too little, as after speech, unless it wants nothing or is named', () => {
    expect(chooseTool(TOOLS, 'auto')).toBeUndefined();
    expect(chooseTool(TOOLS, 'auto', 'Marsupials are darker')).toBeUndefined();
    expect(chooseTool(TOOLS, 'none', 'Mars')).toBeUndefined();
    expect(chooseTool([...TOOLS, tool('clock')], 'auto')).toEqual({ name: 'clock', arguments: '{}' });
    expect(chooseTool(TOOLS, { type: 'function', name: 'theme' })).toEqual({
      name: 'theme',
      arguments: '{}',
    });
  });

  it('takes schemas that are none as they come', () => {
    for (const parameters of [
      null,
      7,
      {},
      { properties: null },
      { properties: { a: null } },
      { required: 'a' },
    ])
      expect(chooseTool([{ type: 'function', name: 'odd', parameters }], 'auto', 'a')?.name).toBe('odd');
    expect(
      chooseTool([tool('odd', { a: 7 }), tool('odder', { a: [null, 3, ''] }, [7])], 'auto', 'a 3'),
    ).toBeUndefined();
    expect(chooseTool('none', 'auto', 'a')).toBeUndefined();
  });
});
