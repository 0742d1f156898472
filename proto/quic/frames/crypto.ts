import { type Reader, varintLength, type Writer } from '../../wire/index.ts';
import { TransportError, TransportErrorCode } from '../errors.ts';
import { type CryptoFrame, FrameType, type NewTokenFrame } from './frame.ts';
import { endsBeyondWire } from './values.ts';

/** CRYPTO (RFC 9000 §19.6). */
export function readCrypto(reader: Reader): CryptoFrame {
  const offset = reader.varint();
  const data = reader.bytes(reader.varint());
  if (endsBeyondWire(offset, data.length))
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      'CRYPTO data ends beyond offset 2^62 - 1 (RFC 9000 §19.6)',
      FrameType.CRYPTO,
    );
  return { type: 'crypto', offset, data };
}

/** Octets of a CRYPTO frame before its `length` octets of data. */
export function cryptoOverhead(offset: number, length: number): number {
  return 1 + varintLength(offset) + varintLength(length);
}

export function writeCrypto(writer: Writer, offset: number, data: Uint8Array): void {
  writer.u8(FrameType.CRYPTO).varint(offset).varint(data.length).bytes(data);
}

/** NEW_TOKEN (RFC 9000 §19.7). */
export function readNewToken(reader: Reader): NewTokenFrame {
  const token = reader.bytes(reader.varint());
  if (token.length === 0)
    throw new TransportError(
      TransportErrorCode.FRAME_ENCODING_ERROR,
      'NEW_TOKEN with an empty token (RFC 9000 §19.7)',
      FrameType.NEW_TOKEN,
    );
  return { type: 'newToken', token };
}
