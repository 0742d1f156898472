/** What is used of the library; its own declarations are reached under the condition `node` alone. */
declare module '@fails-components/webtransport' {
  export class Http2Server {
    constructor(options: object);
  }
  /** Settles when the attempt to load the HTTP/3 transport is over. */
  export const quicheLoaded: Promise<unknown>;
}
