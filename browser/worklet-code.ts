/** The worklets' own code, which the build puts here. */
declare const PARLEY_WORKLETS: { readonly microphone: string; readonly playback: string };

/** The worklets as text, for pages that have no such files: loaded there only. */
export const WORKLET_CODE = PARLEY_WORKLETS;
