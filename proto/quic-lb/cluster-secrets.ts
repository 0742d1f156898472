/** Where a secret is that a cluster file does not hold itself. */
export type SecretPlace = { readonly file: string } | { readonly env: string };

/** Reads a secret; what keeps it from that is a fault, which says the place and never the secret. */
export type SecretReader = (
  place: SecretPlace,
) => { readonly ok: true; readonly text: string } | { readonly ok: false; readonly fault: string };

type Filled =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly faults: string[] };

/** Keys of a cluster file that hold a secret. */
const SECRET_KEYS = ['routingKey', 'statelessResetKey', 'ticketKey'] as const;

/** A place as a cluster file writes it: an object with `file` or `env` and nothing else. */
export function secretPlace(value: unknown): SecretPlace | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const entries = Object.entries(value);
  const [key, text] = entries[0] ?? [];
  if (entries.length !== 1 || (key !== 'file' && key !== 'env')) return undefined;
  return typeof text === 'string' && text !== '' ? ({ [key]: text } as unknown as SecretPlace) : undefined;
}

/** What a cluster file holds, with every secret that stands elsewhere in its place. */
export function withSecrets(json: unknown, read: SecretReader | undefined): Filled {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return { ok: true, value: json };
  const faults: string[] = [];
  const fill = (holder: Record<string, unknown>, key: string, where: string) => {
    const place = secretPlace(holder[key]);
    if (place === undefined) return;
    const secret = read?.(place) ?? { ok: false, fault: 'it stands elsewhere, which is not read here' };
    if (secret.ok) holder[key] = secret.text.trim();
    else faults.push(`${where}: ${secret.fault}.`);
  };
  const value: Record<string, unknown> = { ...json };
  for (const key of SECRET_KEYS) fill(value, key, key);
  if (Array.isArray(value.quicLb)) {
    value.quicLb = value.quicLb.map((entry: unknown, i) => {
      if (typeof entry !== 'object' || entry === null) return entry;
      const copy = { ...entry } as Record<string, unknown>;
      fill(copy, 'key', `quicLb[${i}].key`);
      return copy;
    });
  }
  return faults.length === 0 ? { ok: true, value } : { ok: false, faults };
}
