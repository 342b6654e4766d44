/**
 * The end of the current callback: after its microtasks, before the event loop reads or waits again. Sends of
 * one tick are joined until then.
 */

interface Waiting {
  listener: (subject: unknown) => void;
  subject: unknown;
}

let waiting: Waiting[] = [];
const settled = Promise.resolve();

/** A tick queued from a microtask runs when no microtask is left; one queued by the caller would run before them. */
function afterMicrotasks(): void {
  process.nextTick(endTick);
}

function endTick(): void {
  const ending = waiting;
  waiting = [];
  for (const { listener, subject } of ending) listener(subject);
}

/** Calls `listener(subject)` once, when the current callback and its microtasks are over. */
export function atTickEnd<T>(listener: (subject: T) => void, subject: T): void {
  const entry: Waiting = { listener: listener as (subject: unknown) => void, subject };
  if (waiting.push(entry) === 1) void settled.then(afterMicrotasks);
}
