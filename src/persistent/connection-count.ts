/** How many connections this process has, by host or the name under which several hosts count as one: venues cap them. */

const counts = new Map<string, number>();

export function connectionsTo(key: string): number {
  return counts.get(key) ?? 0;
}

/** One more (`by` 1) or one less (-1). */
export function countConnection(key: string, by: 1 | -1): void {
  const count = connectionsTo(key) + by;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
