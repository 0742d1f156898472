import {
  AnswerHeaderDecoder,
  PcmAligner,
  SessionCloseCode,
  VoiceProtocolError,
} from '../proto/voice/index.ts';
import type { AnswerRecord } from './answer-log.ts';
import type { Playback } from './playback.ts';

/** What reading answers tells. */
export interface AnswerReaderListener {
  /** Something came. */
  heard(): void;
  /** An answer stream is not what the voice protocol says. */
  failed(error: VoiceProtocolError): void;
}

/** Reads answer streams into playback for as long as they come. Rejects when the session or the protocol breaks. */
export async function readAnswers(
  streams: ReadableStream<ReadableStream<Uint8Array>>,
  playback: Playback,
  listener: AnswerReaderListener,
): Promise<void> {
  const reader = streams.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    readAnswer(value, playback, listener).catch((error) => {
      if (error instanceof VoiceProtocolError) listener.failed(error);
    });
  }
}

/**
 * Reads one answer to its FIN, or to the reset that a barge-in sends; whatever came before the reset has been kept. The rest
 * of an answer that was cut is not wanted: its stream is cancelled (STOP_SENDING).
 */
async function readAnswer(
  stream: ReadableStream<Uint8Array>,
  playback: Playback,
  listener: AnswerReaderListener,
): Promise<void> {
  const reader = stream.getReader();
  const decoder = new AnswerHeaderDecoder();
  const aligner = new PcmAligner();
  let record: AnswerRecord | undefined;
  try {
    for (;;) {
      await playback.room();
      const { done, value } = await reader.read();
      if (done) break;
      listener.heard();
      const octets = decoder.push(value);
      if (record === undefined && decoder.header !== undefined) record = playback.begin(decoder.header);
      if (record === undefined) continue;
      playback.push(record, aligner.push(octets));
      if (!record.cleared) continue;
      playback.end(record, false);
      await reader.cancel();
      return;
    }
  } catch (error) {
    if (record !== undefined) playback.end(record, false);
    throw error;
  }
  if (record === undefined || aligner.pendingOctets > 0) {
    const what = record === undefined ? 'before its header was whole' : 'in the middle of a sample';
    throw new VoiceProtocolError(SessionCloseCode.MALFORMED, `an answer stream ended ${what}`);
  }
  playback.end(record, true);
}
