import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { MicrophoneDevice } from '../../../browser/microphone-device.ts';
import { arrive, FakeBrowserAudio } from './fake-audio.ts';

let audio: FakeBrowserAudio;
const told: string[] = [];

beforeEach(async () => {
  audio = await FakeBrowserAudio.install();
  told.length = 0;
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

function open(constraints: MediaTrackConstraints = {}): {
  device: MicrophoneDevice;
  opened: Promise<MediaStream>;
} {
  const device = new MicrophoneDevice(constraints, {
    muted: (muted) => told.push(muted ? 'muted' : 'unmuted'),
    lost: () => told.push('lost'),
    found: () => told.push('found'),
    failed: ({ code }) => told.push(code),
  });
  return { device, opened: device.open() };
}

describe('the microphone as the browser gives it', () => {
  it('is looked for again when a device comes, and by the clock, until one is found', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { device, opened } = open();
    await opened;
    told.length = 0;
    audio.ask = () => Promise.reject(new DOMException('none', 'NotFoundError'));
    audio.track.tell('ended');
    await arrive();
    expect(audio.asked).toHaveLength(2);
    audio.mediaDevices.dispatchEvent(new Event('devicechange'));
    await arrive();
    expect(audio.asked).toHaveLength(3);
    expect(told).toEqual(['lost']);
    audio.ask = async () => {};
    vi.advanceTimersByTime(3000);
    await arrive();
    expect(told).toEqual(['lost', 'unmuted', 'found']);
    audio.mediaDevices.dispatchEvent(new Event('devicechange'));
    await arrive();
    expect(audio.asked).toHaveLength(4);
    device.close();
  });

  it('takes any other device when the wished one is gone', async () => {
    const { device, opened } = open({ deviceId: { exact: 'usb' }, channelCount: 1 });
    await opened;
    audio.ask = async ({ deviceId }) => {
      if (deviceId !== undefined) throw new DOMException('gone', 'OverconstrainedError');
    };
    audio.track.tell('ended');
    await arrive();
    expect(audio.asked.at(-1)).toEqual({ channelCount: 1 });
    expect(told.at(-1)).toBe('found');
    device.close();
  });

  it('is let go when it is given after the call has ended', async () => {
    let allow = () => {};
    audio.ask = () => new Promise((resolve) => (allow = resolve));
    const { device, opened } = open();
    device.close();
    allow();
    await expect(opened).rejects.toMatchObject({ code: 'microphone_lost' });
    expect(audio.track.stopped).toBe(true);
  });

  it('tells nothing and asks for nothing after it was closed', async () => {
    const { device, opened } = open();
    await opened;
    told.length = 0;
    device.close();
    audio.track.tell('mute');
    audio.track.tell('ended');
    audio.mediaDevices.dispatchEvent(new Event('devicechange'));
    await arrive();
    expect(told).toEqual([]);
    expect(audio.asked).toHaveLength(1);
  });
});
