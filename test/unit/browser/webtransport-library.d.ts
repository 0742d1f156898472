/** The library's own types stand for browsers and for Node by condition; beside both of their globals neither set fits. */
declare module '@fails-components/webtransport' {
  export class WebTransportPonyfill {
    // biome-ignore lint/suspicious/noExplicitAny: browser/ checks its use against the library's types
    [member: string]: any;
    constructor(url: string, options: object);
    startUpConnection(parts: { readonly ourl: Pick<URL, 'pathname' | 'search'> }): void;
  }
}
