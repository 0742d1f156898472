/**
 * Words that say nothing to a reader from the field, where a plain one would (STYLE: names and texts that an engineer expects).
 * The last letter of each stands in brackets, so that this file does not hold them.
 */
export const PRIVATE_WORDS =
  /\b(?:nobod[y]|whoeve[r]|strange[r]s?|farewel[l]|last[\s-]+word[s]|patienc[e]|for[\s-]+eve[r])\b/gi;
