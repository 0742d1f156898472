import {
  BackendCall,
  ConversationRecord,
  type ConversationSnapshot,
  MicrophoneArchive,
  PageCall,
} from '../../../proto/voice/resume/index.ts';
import { PageEventCoverage } from '../../../proto/voice/resume/page-event-coverage.ts';
import { Answers } from '../../../server/bridge/answers.ts';
import { Attachment } from '../../../server/bridge/attachment.ts';
import { Checkpoints } from '../../../server/bridge/checkpoints.ts';
import { CallTable, Sealer } from '../../../server/call/index.ts';
import { type Injection, replace } from '../injections.ts';

/** Bugs in calls over several sessions: one at least for each of their invariants. */
export const CALL_INJECTIONS = {
  'sample-doubled': {
    bug: 'audio that is sent again begins a sample too early, where that is in the middle of what the worklet gave',
    breaks: 'microphone',
    inject: () =>
      replace(
        MicrophoneArchive.prototype,
        'read',
        (right) =>
          function (this: MicrophoneArchive, number, sample, maxOctets) {
            return right.call(this, number, sample % 480 === 0 ? sample : sample - 1, maxOctets);
          },
      ),
  },
  'sentence-clipped': {
    bug: 'the first second of what was being said is taken for part of the turn before it',
    breaks: 'microphone',
    inject: () =>
      replaceSnapshot((snapshot) => ({
        ...snapshot,
        microphoneSamples: snapshot.microphoneSamples + 24_000,
      })),
  },
  'answer-skips': {
    bug: 'the page takes 240 samples of an answer for received that were not, when the answer goes on in another session',
    breaks: 'answers',
    inject: () =>
      replace(
        PageCall.prototype,
        'answerBegins',
        (right) =>
          function (this: PageCall, answer) {
            const came = right.call(this, answer);
            return came === undefined || came === 0 ? came : came + 240;
          },
      ),
  },
  'waiting-answer-forgotten': {
    bug: 'what the page lacks of answers is forgotten when its session ends',
    breaks: 'answers',
    inject: () =>
      replace(
        Answers.prototype,
        'uncarry',
        (right) =>
          function (this: Answers) {
            right.call(this);
            this.received(Array.from({ length: 1000 }, (_, answer) => ({ answer, samples: 0, ended: true })));
          },
      ),
  },
  'event-lost': {
    bug: 'an event counts as done as soon as the upstream was given it',
    breaks: 'page events',
    inject: () =>
      replace(
        PageEventCoverage.prototype,
        'sent',
        (right) =>
          function (this: PageEventCoverage, number, _event, samples) {
            right.call(this, number, { type: 'response.cancel' }, samples);
          },
      ),
  },
  'answered-twice': {
    bug: 'a response.create whose response is over is given to the next upstream again',
    breaks: 'page events',
    inject: () => replace(PageEventCoverage.prototype, 'responseEnded', () => () => undefined),
  },
  'server-event-lost': {
    bug: 'what the page had not acknowledged is not sent again to its next session',
    breaks: 'server events',
    inject: () => replace(BackendCall.prototype, 'unacknowledged', () => function* () {}),
  },
  'server-event-doubled': {
    bug: 'the oldest event that the page had not acknowledged is sent to its next session twice',
    breaks: 'server events',
    inject: () =>
      replace(
        BackendCall.prototype,
        'unacknowledged',
        (right) =>
          function* (this: BackendCall) {
            const [first, ...rest] = right.call(this);
            if (first !== undefined) yield* [first, first, ...rest];
          },
      ),
  },
  'gone-items-not-named': {
    bug: 'the page is not told that a turn is said again where an answer behind it was restored',
    breaks: 'server events',
    inject: () => replaceSnapshot((snapshot) => ({ ...snapshot, goneItems: [] })),
  },
  'items-turned-round': {
    bug: 'a fresh upstream is given the conversation from its end',
    breaks: 'restoring',
    inject: () => replaceSnapshot((snapshot) => ({ ...snapshot, items: [...snapshot.items].reverse() })),
  },
  'settings-forgotten': {
    bug: 'a fresh upstream is not given the settings of the session',
    breaks: 'restoring',
    inject: () => replaceSnapshot((snapshot) => ({ ...snapshot, session: { type: 'realtime' } })),
  },
  'stale-checkpoint': {
    bug: 'now and then a checkpoint is made of the conversation as it was before',
    breaks: 'checkpoints',
    inject: () => {
      const before = new WeakMap<ConversationRecord, ConversationSnapshot[]>();
      let forCheckpoint = false;
      const undo = [
        replace(
          Checkpoints.prototype,
          'now',
          (right) =>
            function (this: Checkpoints) {
              forCheckpoint = true;
              const made = right.call(this);
              forCheckpoint = false;
              return made;
            },
        ),
        replaceSnapshot((snapshot, record) => {
          if (!forCheckpoint) return snapshot;
          const all = [...(before.get(record) ?? []), snapshot];
          before.set(record, all);
          return all.length % 3 === 0 ? all.at(-3)! : snapshot;
        }),
      ];
      return () => {
        for (const takeOut of undo) takeOut();
      };
    },
  },
  'foreign-ticket-taken': {
    bug: 'a ticket of another caller opens',
    breaks: 'tickets',
    inject: () =>
      replace(
        Sealer.prototype,
        'open',
        (right) =>
          async function (this: Sealer, kind, sealed, subject, limits) {
            const opened = await right.call(this, kind, sealed, subject, limits);
            return opened.ok ? opened : right.call(this, kind, sealed, 'anna', limits);
          } as Sealer['open'],
      ),
  },
  'older-attempt-attaches': {
    bug: 'an attempt to attach wins though a newer one came before it',
    breaks: 'attachments',
    inject: () =>
      replace(
        BackendCall.prototype,
        'attach',
        (right) =>
          function (this: BackendCall, resume) {
            return right.call(this, {
              ...resume,
              attachment: Math.max(resume.attachment, this.attachment + 1),
            });
          },
      ),
  },
  'older-tab-not-told': {
    bug: 'a session that gives way to a newer one is left open and not told',
    breaks: 'attachments',
    inject: () => replace(Attachment.prototype, 'supersede', () => () => undefined),
  },
  'waiting-calls-never-expire': {
    bug: 'a call whose page does not come back is never let go',
    breaks: 'bounds',
    inject: () => replace(CallTable.prototype as CallTable<never>, 'detached', () => () => undefined),
  },
  'never-restored': {
    bug: 'every checkpoint is taken for too old',
    breaks: 'going on',
    inject: () => replace(BackendCall.prototype, 'restored', () => () => 'gap'),
  },
  'record-throws': {
    bug: 'an item that was cut makes the record of the conversation throw',
    breaks: 'faults',
    inject: () =>
      replace(
        ConversationRecord.prototype,
        'upstreamEvent',
        (right) =>
          function (this: ConversationRecord, event) {
            if (event.type === 'conversation.item.truncated') throw new RangeError('no such part');
            right.call(this, event);
          },
      ),
  },
} as const satisfies Record<string, Injection>;

/** Every snapshot of a conversation is another one. */
function replaceSnapshot(
  make: (snapshot: ConversationSnapshot, record: ConversationRecord) => ConversationSnapshot,
): () => void {
  return replace(
    ConversationRecord.prototype,
    'snapshot',
    (right) =>
      function (this: ConversationRecord) {
        return make(right.call(this), this);
      },
  );
}
