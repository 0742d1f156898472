import { expect, it } from 'vitest';
import { startForwarder } from '../../../lb/index.ts';
import { StartupError } from '../../../net/startup.ts';

it.each([undefined, null, 'cluster.json', {}])(
  'a forwarder is not started with %j for its settings',
  async (settings) => {
    await expect(startForwarder(settings as never)).rejects.toThrow(
      new StartupError('startForwarder needs { cluster }: the path of cluster.json, or what it holds.'),
    );
  },
);
