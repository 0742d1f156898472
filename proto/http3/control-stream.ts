import { Reader } from '../wire/index.ts';
import { Http3Error, Http3ErrorCode } from './errors.ts';
import {
  FrameParser,
  type FramePiece,
  type FramePolicy,
  type FrameTreatment,
  FrameType,
  isReservedFrameType,
} from './frames.ts';
import { decodeSettings, type Settings } from './settings.ts';

/** Octets of a SETTINGS frame: room for hundreds of settings. */
const MAX_SETTINGS_OCTETS = 8192;
const MAX_VARINT_OCTETS = 8;

export interface ControlStreamEvents {
  onSettings(settings: Settings): void;
  onGoAway(id: number): void;
}

/** Reads the peer's control stream (RFC 9114 §6.2.1). Throws `Http3Error`. */
export class ControlStream implements FramePolicy {
  readonly parser: FrameParser = new FrameParser(this);
  readonly #weAreServer: boolean;
  readonly #signalType: number | undefined;
  readonly #events: ControlStreamEvents;
  #settingsSeen = false;
  #goAwayId = Number.POSITIVE_INFINITY;
  #maxPushId = -1;

  /** @param signalType a first-octets signal of an extension that is no frame, such as WT_STREAM. */
  constructor(weAreServer: boolean, signalType: number | undefined, events: ControlStreamEvents) {
    this.#weAreServer = weAreServer;
    this.#signalType = signalType;
    this.#events = events;
  }

  octets(data: Uint8Array): void {
    this.parser.push(data);
    const before = this.#goAwayId;
    for (let piece = this.parser.next(); piece !== undefined; piece = this.parser.next()) this.#frame(piece);
    // Told once for each read: of many GOAWAYs the last, which is the lowest, says all (RFC 9114 §5.2).
    if (this.#goAwayId < before) this.#events.onGoAway(this.#goAwayId);
  }

  admit(type: number, length: number): FrameTreatment {
    // RFC 9114 §6.2.1: SETTINGS comes first, and once.
    if (!this.#settingsSeen && type !== FrameType.SETTINGS)
      throw new Http3Error(Http3ErrorCode.H3_MISSING_SETTINGS, 'the control stream begins without SETTINGS');
    switch (type) {
      case FrameType.SETTINGS:
        if (this.#settingsSeen) throw unexpected('a second SETTINGS frame');
        if (length > MAX_SETTINGS_OCTETS)
          throw new Http3Error(Http3ErrorCode.H3_EXCESSIVE_LOAD, 'the SETTINGS frame is too long');
        this.#settingsSeen = true;
        return 'collect';
      case FrameType.MAX_PUSH_ID:
        if (!this.#weAreServer) throw unexpected('MAX_PUSH_ID from a server');
        return this.#oneVarint(length);
      case FrameType.GOAWAY:
      case FrameType.CANCEL_PUSH:
        return this.#oneVarint(length);
      case FrameType.DATA:
      case FrameType.HEADERS:
      case FrameType.PUSH_PROMISE:
        throw unexpected(`a frame of type ${type} on the control stream`);
      default:
        if (isReservedFrameType(type)) throw unexpected(`a frame of HTTP/2's type ${type}`);
        if (type === this.#signalType) throw frameError('a stream signal on the control stream');
        return 'skip';
    }
  }

  #oneVarint(length: number): FrameTreatment {
    if (length === 0 || length > MAX_VARINT_OCTETS)
      throw frameError('a frame of one varint has a wrong length');
    return 'collect';
  }

  #frame(piece: FramePiece): void {
    if (piece.type === FrameType.SETTINGS) {
      this.#events.onSettings(decodeSettings(piece.payload));
      return;
    }
    const id = onlyVarint(piece.payload);
    if (piece.type === FrameType.GOAWAY) this.#goAway(id);
    else if (piece.type === FrameType.MAX_PUSH_ID) {
      // RFC 9114 §7.2.7: it may not fall. We never push, so nothing else follows from it.
      if (id < this.#maxPushId) throw idError('MAX_PUSH_ID falls');
      this.#maxPushId = id;
    } else {
      // RFC 9114 §7.2.3: nothing was promised (as server) or may be (as client).
      throw idError('CANCEL_PUSH of a push that cannot be');
    }
  }

  /** RFC 9114 §5.2 and §7.2.6. */
  #goAway(id: number): void {
    if (!this.#weAreServer && id % 4 !== 0) throw idError('GOAWAY names no request stream');
    if (id > this.#goAwayId) throw idError('GOAWAY takes back an earlier one');
    this.#goAwayId = id;
  }
}

function onlyVarint(payload: Uint8Array): number {
  const length = 1 << ((payload[0] as number) >> 6);
  if (length !== payload.length) throw frameError('a frame of one varint has a wrong length');
  return new Reader(payload).varint();
}

function unexpected(what: string): Http3Error {
  return new Http3Error(Http3ErrorCode.H3_FRAME_UNEXPECTED, what);
}

function frameError(what: string): Http3Error {
  return new Http3Error(Http3ErrorCode.H3_FRAME_ERROR, what);
}

function idError(what: string): Http3Error {
  return new Http3Error(Http3ErrorCode.H3_ID_ERROR, what);
}
