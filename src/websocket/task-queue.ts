/**
 * Events that must not share a turn. The standard has a task queued for each message (WebSockets §4), so that what a
 * listener's promises do is done before the next listener is called.
 */

type Deliver<Subject> = (subject: Subject, type: string, first: unknown, second: unknown) => void;

interface Task {
  readonly deliver: Deliver<never>;
  readonly subject: unknown;
  readonly type: string;
  readonly first: unknown;
  readonly second: unknown;
}

let tasks: Task[] = [];
let next = 0;
const settled = Promise.resolve();

/** From a microtask: the tick then comes when no microtask is left. */
function afterMicrotasks(): void {
  process.nextTick(runNext);
}

function runNext(): void {
  const { deliver, subject, type, first, second } = tasks[next++];
  if (next < tasks.length) {
    void settled.then(afterMicrotasks);
  } else {
    tasks = [];
    next = 0;
  }
  deliver(subject as never, type, first, second);
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
