/** Longest reason of an upstream that a caller is shown, in characters. */
const MAX_REASON_CHARACTERS = 300;

/** Shorter secrets are no secrets, and replacing them would garble every text. */
const MIN_SECRET_CHARACTERS = 8;

/** Hides secrets in a text. */
export type Redact = (text: string) => string;

/**
 * Upstreams like to quote a part of a wrong key back: neither the secrets given here nor anything that looks like a key,
 * a bearer token or the credentials of a proxy leaves this folder.
 */
export function makeRedact(secrets: readonly (string | undefined)[]): Redact {
  const known = secrets.filter((secret) => secret !== undefined && secret.length >= MIN_SECRET_CHARACTERS);
  return (text) => {
    let safe = text;
    for (const secret of known) safe = safe.replaceAll(secret as string, '[key]');
    return safe
      .replace(/\b(?:sk|ek)[-_][\w*.-]{4,}/g, '[key]')
      .replace(/\bBearer\s+[\w.~+/=-]{8,}/gi, 'Bearer [key]')
      .replace(/:\/\/[^\s/@]+@/g, '://[key]@');
  };
}

/** A text of another system as part of one line for people: no control characters, at most `max` characters. */
export function oneLine(text: string, max: number = MAX_REASON_CHARACTERS): string {
  const line = text
    .slice(0, max * 4)
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim();
  return line.length <= max ? line : `${line.slice(0, max - 1).replace(/[\ud800-\udbff]$/, '')}…`;
}
