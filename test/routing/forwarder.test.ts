import { describe } from 'vitest';
import { hostileCases } from './hostile-cases.ts';
import { SOCKETS } from './house.ts';
import { operationCases } from './operation-cases.ts';
import { packetCases } from './packet-cases.ts';

describe.each(SOCKETS)('over %s sockets', (socket) => {
  packetCases(socket);
  operationCases(socket);
  hostileCases(socket);
});
