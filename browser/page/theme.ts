/** How the page looks: in light or dark colours, or as the system has it. */
export const THEMES = ['light', 'dark', 'system'] as const;
export type Theme = (typeof THEMES)[number];

/** `dark.css` counts where this media query holds. */
const MEDIA: Readonly<Record<Theme, string>> = {
  light: 'not all',
  dark: 'all',
  system: '(prefers-color-scheme: dark)',
};

let listeners: (() => void)[] = [];

/** Calls `listener` when the page's colours have changed. */
export function onTheme(listener: () => void): void {
  listeners = [...listeners, listener];
}

const tell = () => {
  for (const listener of listeners) listener();
};
matchMedia(MEDIA.system).addEventListener('change', tell);

/** Changes the page's colours. */
export function setTheme(theme: Theme): void {
  const link = document.querySelector<HTMLLinkElement>('link[href="dark.css"]');
  if (link === null) return;
  link.media = MEDIA[theme];
  document.documentElement.dataset.theme = theme;
  tell();
}
