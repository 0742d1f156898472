/** Words that say nothing to a reader from the field, where a plain one would (STYLE: names and texts that an engineer expects). */
export const PRIVATE_WORDS =
  /\b(?:nobody|whoever|strangers?|farewell|last[\s-]+words|patience|for[\s-]+ever)\b/gi;
