/** A clock that stands still until a test moves it, with the event loop's timers and phases around it. */
import type { Clock } from '../../src/heartbeat/clock.js';

interface Timer {
  at: number;
  callback: () => void;
}

export class FakeClock implements Clock {
  time = 1_000_000;
  #timers: Timer[] = [];
  #immediates: (() => void)[] = [];
  /** Called in every poll phase: where a test lets bytes arrive. */
  onPoll: () => void = () => {};
  /** How many timers have been started. */
  started = 0;

  now(): number {
    return this.time;
  }

  start(callback: () => void, delay: number): Timer {
    this.started++;
    const timer = { at: this.time + delay, callback };
    this.#timers.push(timer);
    return timer;
  }

  cancel(timer: unknown): void {
    this.#timers = this.#timers.filter((each) => each !== timer);
  }

  immediate(callback: () => void): void {
    this.#immediates.push(callback);
  }

  /** Timers that run. */
  get timers(): number {
    return this.#timers.length;
  }

  /** Lets `ms` pass as on a loop that is always in time. */
  pass(ms: number): void {
    const end = this.time + ms;
    for (;;) {
      const next = Math.min(...this.#timers.map(({ at }) => at));
      if (next > end) break;
      this.time = Math.max(this.time, next);
      this.turn();
    }
    this.time = end;
    this.turn();
  }

  /** The loop stands still for `ms`, or the whole machine: then all that is due runs late. */
  jump(ms: number): void {
    this.time += ms;
    this.turn();
  }

  /** Turns of the event loop until it would wait: timers, poll, check. */
  turn(): void {
    do {
      this.timersPhase();
      this.pollAndCheck();
    } while (this.#immediates.length > 0 || this.#timers.some(({ at }) => at <= this.time));
  }

  timersPhase(): void {
    const due = this.#timers.filter(({ at }) => at <= this.time).sort((a, b) => a.at - b.at);
    this.#timers = this.#timers.filter(({ at }) => at > this.time);
    for (const { callback } of due) callback();
  }

  pollAndCheck(): void {
    this.onPoll();
    for (const callback of this.#immediates.splice(0)) callback();
  }
}
