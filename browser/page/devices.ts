import { type AudioDevice, type Call, watchDevices } from '../index.ts';
import { element } from './dom.ts';

/** What the system chooses. */
const DEFAULT = { deviceId: '', label: 'System default' };

/** The choice of microphone and speaker: kept from one call to the next, and changed in the middle of one. */
export class DeviceChoice {
  readonly #call: () => Call | undefined;
  readonly #failed: (text: string) => void;
  readonly #microphones = element<HTMLSelectElement>('microphone-choice');
  readonly #speakers = element<HTMLSelectElement>('speaker-choice');
  #stop: (() => void) | undefined;

  /** `failed` is told in a sentence what could not be chosen. */
  constructor(call: () => Call | undefined, failed: (text: string) => void) {
    this.#call = call;
    this.#failed = failed;
    this.#microphones.addEventListener('change', () => this.#choose('microphone'));
    this.#speakers.addEventListener('change', () => this.#choose('speaker'));
    this.refresh();
  }

  /** Looks again: browsers name devices, and most of them at all, only once the page may use a microphone. */
  refresh(): void {
    if (navigator.mediaDevices === undefined) return;
    this.#stop?.();
    this.#stop = watchDevices(({ microphones, speakers }) => {
      fill(this.#microphones, microphones);
      fill(this.#speakers, speakers);
      element('speaker-field').hidden = speakers.length === 0;
    });
  }

  /** The constraint for a call that begins. */
  get constraint(): { readonly microphone?: MediaTrackConstraints } {
    const { value } = this.#microphones;
    return value === '' ? {} : { microphone: { deviceId: { exact: value } } };
  }

  /** The call can be heard: it is given the speaker that was chosen before. */
  begin(call: Call): void {
    this.refresh();
    const { value } = this.#speakers;
    if (value !== '') call.setSpeaker(value).catch((error: Error) => this.#failed(error.message));
  }

  #choose(which: 'microphone' | 'speaker'): void {
    const call = this.#call();
    if (call === undefined || call.state === 'ended') return;
    const done =
      which === 'microphone'
        ? call.setMicrophone(this.#microphones.value)
        : call.setSpeaker(this.#speakers.value);
    done.catch((error: Error) => this.#failed(error.message));
  }
}

/** Lists devices, and keeps what was chosen as long as it is there. */
function fill(select: HTMLSelectElement, devices: readonly AudioDevice[]): void {
  const { value } = select;
  const named = devices.filter(({ deviceId, label }) => label !== '' && deviceId !== 'default');
  const options = [DEFAULT, ...named].map(({ deviceId, label }) => new Option(label, deviceId));
  select.replaceChildren(...options);
  select.value = options.some((option) => option.value === value) ? value : '';
}
