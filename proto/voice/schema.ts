import { SessionCloseCode, VoiceProtocolError } from './codes.ts';
import type { Message } from './message.ts';

/**
 * Says what is wrong with a value and where in it, as `.field.field: what is expected`; undefined when it is as it should be. Page and
 * backend check by the same ones. A page loads them, so they are few and small, and a bundler leaves out those it does not use.
 */
export interface Schema<T> {
  (value: unknown): string | undefined;
  /** For the compiler alone. */
  readonly of?: () => T;
}

/** The type of what a schema lets through. */
export type Infer<S> = S extends Schema<infer T> ? T : never;

type Shape = Readonly<Record<string, Schema<unknown>>>;
type OptionalKeys<S extends Shape> = { [K in keyof S]: undefined extends Infer<S[K]> ? K : never }[keyof S];
type ObjectOf<S extends Shape> = {
  [K in keyof (Omit<S, OptionalKeys<S>> & Partial<Pick<S, OptionalKeys<S>>>)]: Infer<S[K]>;
};

function expects<T>(fits: (value: unknown) => boolean, what: string): Schema<T> {
  return (value) => (fits(value) ? undefined : `: ${what} is expected`);
}

/** An object with these fields; others may stand beside them, as newer peers may say more. */
export function object<const S extends Shape>(shape: S): Schema<ObjectOf<S>> {
  return (value) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return ': an object is expected';
    for (const key in shape) {
      const fault = shape[key]!((value as Record<string, unknown>)[key]);
      if (fault !== undefined) return `.${key}${fault}`;
    }
    return undefined;
  };
}

/** A list of at least `minimum` and at most `maximum` entries. */
export function list<T>(entry: Schema<T>, minimum: number, maximum: number): Schema<T[]> {
  return (value) => {
    if (!Array.isArray(value) || value.length < minimum || value.length > maximum)
      return `: a list of ${minimum} to ${maximum} is expected`;
    for (const [index, one] of value.entries()) {
      const fault = entry(one);
      if (fault !== undefined) return `.${index}${fault}`;
    }
    return undefined;
  };
}

/** A text of at least `minimum` and at most `maximum` UTF-16 code units. */
export function text(minimum = 0, maximum = Number.POSITIVE_INFINITY): Schema<string> {
  return expects(
    (value) => typeof value === 'string' && value.length >= minimum && value.length <= maximum,
    maximum < Number.POSITIVE_INFINITY ? `a text of ${minimum} to ${maximum} characters` : 'a text',
  );
}

/** A whole number that is exact as a double, within bounds. */
export function whole(minimum = 0, maximum: number = Number.MAX_SAFE_INTEGER): Schema<number> {
  return expects(
    (value) => Number.isSafeInteger(value) && (value as number) >= minimum && (value as number) <= maximum,
    `a whole number from ${minimum} to ${maximum}`,
  );
}

/** Any whole number that is exact as a double. */
export function integer(): Schema<number> {
  return whole(Number.MIN_SAFE_INTEGER);
}

/** A finite number that is not negative. */
export function measure(): Schema<number> {
  return expects((value) => Number.isFinite(value) && (value as number) >= 0, 'a number from 0 up');
}

export function flag(): Schema<boolean> {
  return expects((value) => typeof value === 'boolean', 'true or false');
}

/** One of these values. */
export function oneOf<const T extends readonly (string | number | boolean)[]>(
  ...values: T
): Schema<T[number]> {
  return expects((value) => values.includes(value as T[number]), values.join(' or '));
}

/** One of the names of these. */
export function keyOf<const Key extends string>(record: Readonly<Record<Key, unknown>>): Schema<Key> {
  return oneOf(...(Object.keys(record) as Key[]));
}

/** May be absent. */
export function optional<T>(schema: Schema<T>): Schema<T | undefined> {
  return (value) => (value === undefined ? undefined : schema(value));
}

/** May be null. */
export function nullable<T>(schema: Schema<T>): Schema<T | null> {
  return (value) => (value === null ? undefined : schema(value));
}

/** The message itself, when it is what the schema says. Throws `VoiceProtocolError`, with where and what, when it is not. */
export function checked<T>(schema: Schema<T>, message: Message, what: string): T {
  const fault = schema(message);
  // It was checked just now.
  if (fault === undefined) return message as unknown as T;
  const where = fault.startsWith('.') ? fault.slice(1) : `message${fault}`;
  throw new VoiceProtocolError(SessionCloseCode.MALFORMED, `${what} is malformed: ${where}`);
}
