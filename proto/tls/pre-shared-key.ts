import { Reader, type Writer } from '../wire/index.ts';
import { Alert, fail } from './alerts.ts';
import { expectEnd, extension, readVector8, readVector16, vector } from './codec.ts';
import { ExtensionType } from './extensions.ts';

/** PSK with (EC)DHE, the only mode spoken here: a stolen ticket key opens no recorded call (RFC 8446 §4.2.9). */
export const PSK_DHE_KE = 1;
/** Shortest binder that the grammar allows (RFC 8446 §4.2.11). */
const MIN_BINDER_LENGTH = 32;
/** Octets at the end of our ClientHello that its binder does not cover: a list of one binder. */
export function bindersLength(binderOctets: number): number {
  return 2 + 1 + binderOctets;
}

/** A client's offer to resume (RFC 8446 §4.2.11): views into its ClientHello. */
export interface PskOffer {
  readonly identities: readonly Uint8Array[];
  readonly binders: readonly Uint8Array[];
  /** Octets of the binder list with its length: the tail of the ClientHello that binders do not cover. */
  readonly bindersLength: number;
}

/** Reads a pre_shared_key extension of a ClientHello. */
export function readPskOffer(body: Uint8Array): PskOffer {
  const reader = new Reader(body);
  const list = readVector16(reader);
  const identities: Uint8Array[] = [];
  while (!list.done) {
    const identity = readVector16(list).rest();
    if (identity.length === 0) fail(Alert.DECODE_ERROR, 'a PSK identity is empty');
    // The ticket's age serves against replays of early data, which is not taken.
    list.u32();
    identities.push(identity);
  }
  const bindersLength = reader.remaining;
  const binderList = readVector16(reader);
  expectEnd(reader, 'pre_shared_key');
  const binders: Uint8Array[] = [];
  while (!binderList.done) {
    const binder = readVector8(binderList).rest();
    if (binder.length < MIN_BINDER_LENGTH) fail(Alert.DECODE_ERROR, 'a PSK binder is too short');
    binders.push(binder);
  }
  if (identities.length === 0) fail(Alert.DECODE_ERROR, 'pre_shared_key names no identity');
  if (identities.length !== binders.length)
    fail(Alert.ILLEGAL_PARAMETER, `${identities.length} PSK identities have ${binders.length} binders`);
  return { identities, binders, bindersLength };
}

/** Writes one identity with a binder of `binderOctets` zeros, to be overwritten. It must be the last extension. */
export function writePskOffer(
  writer: Writer,
  identity: Uint8Array,
  obfuscatedAge: number,
  binderOctets: number,
): void {
  extension(writer, ExtensionType.PRE_SHARED_KEY, (body) => {
    vector(body, 2, (list) => {
      vector(list, 2, (entry) => entry.bytes(identity));
      list.u32(obfuscatedAge);
    });
    vector(body, 2, (list) => vector(list, 1, (binder) => binder.zeros(binderOctets)));
  });
}

export function readPskModes(body: Uint8Array): readonly number[] {
  const reader = new Reader(body);
  const modes = readVector8(reader).rest();
  expectEnd(reader, 'psk_key_exchange_modes');
  if (modes.length === 0) fail(Alert.DECODE_ERROR, 'psk_key_exchange_modes is empty');
  return [...modes];
}

export function writePskModes(writer: Writer): void {
  extension(writer, ExtensionType.PSK_KEY_EXCHANGE_MODES, (body) =>
    vector(body, 1, (list) => list.u8(PSK_DHE_KE)),
  );
}
