import { randomUUID } from 'node:crypto';

/** An ID like those of the real API: 21 characters. */
export function shortId(): string {
  return randomUUID().replaceAll('-', '').slice(0, 21);
}
