/** A microphone or speaker. */
export interface AudioDevice {
  readonly deviceId: string;
  /** As the system calls it; empty before the page may use a microphone. */
  readonly label: string;
}

/** What there is to hear and to be heard with. */
export interface AudioDevices {
  readonly microphones: readonly AudioDevice[];
  /** Empty where the browser lets pages choose none. */
  readonly speakers: readonly AudioDevice[];
}

/** Lists microphones and speakers. Browsers hide names, and all but one of each, until the page may use a microphone. */
export async function listDevices(): Promise<AudioDevices> {
  const found = await navigator.mediaDevices.enumerateDevices();
  const of = (kind: MediaDeviceKind) =>
    found
      .filter((device) => device.kind === kind && device.deviceId !== '')
      .map(({ deviceId, label }) => ({ deviceId, label }));
  return { microphones: of('audioinput'), speakers: of('audiooutput') };
}

/** Calls `listener` with the devices now, and whenever one comes or goes. Returns the way to stop it. */
export function watchDevices(listener: (devices: AudioDevices) => void): () => void {
  let stopped = false;
  const look = () =>
    void listDevices().then((devices) => {
      if (!stopped) listener(devices);
    });
  navigator.mediaDevices.addEventListener('devicechange', look);
  look();
  return () => {
    stopped = true;
    navigator.mediaDevices.removeEventListener('devicechange', look);
  };
}
