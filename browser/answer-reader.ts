import {
  AnswerHeaderDecoder,
  PcmAligner,
  SessionCloseCode,
  VoiceProtocolError,
} from '../proto/voice/index.ts';
import type { AnswerRecord } from './answer-log.ts';
import type { Playback } from './playback.ts';

/** Reads answer streams into playback for as long as they come. Rejects when the session or the protocol breaks. */
export async function readAnswers(
  streams: ReadableStream<ReadableStream<Uint8Array>>,
  playback: Playback,
  onProtocolError: (error: VoiceProtocolError) => void,
): Promise<void> {
  const reader = streams.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    readAnswer(value, playback).catch((error) => {
      if (error instanceof VoiceProtocolError) onProtocolError(error);
    });
  }
}

/** Reads one answer to its FIN, or to the reset that a barge-in sends; whatever came before the reset has been kept. */
async function readAnswer(stream: ReadableStream<Uint8Array>, playback: Playback): Promise<void> {
  const reader = stream.getReader();
  const decoder = new AnswerHeaderDecoder();
  const aligner = new PcmAligner();
  let record: AnswerRecord | undefined;
  try {
    for (;;) {
      await playback.room();
      const { done, value } = await reader.read();
      if (done) break;
      const octets = decoder.push(value);
      if (record === undefined && decoder.header !== undefined) record = playback.begin(decoder.header);
      if (record !== undefined) playback.push(record, aligner.push(octets));
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
