/** Monotonic time and the event loop, as a heartbeat needs them. Tests bring a clock of their own, and jump it. */

export interface Clock {
  /** ms; never goes back. */
  now(): number;
  /** Calls back once, in `delay` ms or later. Does not keep the process alive. */
  start(callback: () => void, delay: number): unknown;
  /** Takes what `start` gave. */
  cancel(timer: unknown): void;
  /** Calls back in the event loop's next check phase: after it has polled, when called from a timer. */
  immediate(callback: () => void): void;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  start: (callback, delay) => setTimeout(callback, delay).unref(),
  cancel: (timer) => clearTimeout(timer as NodeJS.Timeout),
  immediate: (callback) => void setImmediate(callback),
};
