/** One colour per contender throughout; those not listed share the last. Their names stand beside them everywhere. */
const COLOURS = [
  'heartwire',
  'ws',
  'floor',
  'undici',
  'global',
  'websocket',
  'faye',
  'heartwire-websocket',
  'ws-js',
];

export function colour(name: string): string {
  const index = COLOURS.indexOf(name);
  return `var(--c${index < 0 ? COLOURS.length - 1 : index})`;
}
