/**
 * Events that must not share a turn. The standard has a task queued for each message (WebSockets §4), so that what a
 * listener's promises do is done before the next listener is called. They run when the read that they came with is
 * over: what the application does in between then meets no walk (lease rule 4).
 */

import { rethrow } from '../protocol/callback.js';

type Deliver<Subject> = (subject: Subject, type: string, first: unknown, second: unknown) => void;

interface Task {
  readonly deliver: Deliver<never>;
  readonly subject: unknown;
  readonly type: string;
  readonly first: unknown;
  readonly second: unknown;
}

/**
 * What Node does at the end of each callback: runs ticks and microtasks until none is left. It has no other name for
 * it; where this one is missing, each task takes a tick of its own, at five times the price.
 */
const { _tickCallback: finishTurn } = process as { _tickCallback?: () => void };

/** `performance.now()` when tasks began to run: near enough for the events of one read, and asked for once. */
export const turn = { startedAt: 0 };

let tasks: Task[] = [];
let next = 0;
const settled = Promise.resolve();

/** From a microtask: the tick then comes when no microtask is left. */
function afterMicrotasks(): void {
  process.nextTick(run);
}

function run(): void {
  turn.startedAt = performance.now();
  do {
    const { deliver, subject, type, first, second } = tasks[next++];
    try {
      deliver(subject as never, type, first, second);
    } catch (thrown) {
      // It is reported, and ends nothing.
      rethrow(thrown);
    }
    if (next === tasks.length) {
      tasks = [];
      next = 0;
      return;
    }
    try {
      finishTurn?.();
    } catch (thrown) {
      rethrow(thrown);
    }
  } while (finishTurn !== undefined);
  void settled.then(afterMicrotasks);
}

/** Delivers in the order of the calls, each when the microtasks of the one before are done. */
export function queueTask<Subject>(
  deliver: Deliver<Subject>,
  subject: Subject,
  type: string,
  first?: unknown,
  second?: unknown,
): void {
  if (tasks.push({ deliver: deliver as Deliver<never>, subject, type, first, second }) === 1) {
    void settled.then(afterMicrotasks);
  }
}
