/** A message as it stands on the control stream: Parley's, or an event of the Realtime API. */
export interface Message {
  readonly type: string;
  readonly [field: string]: unknown;
}
