/**
 * How late the event loop runs what is due: a stalled loop reads no Pong and answers no Ping, and looks like a dead
 * network from within. Nothing is measured by timers of its own: whoever has a timer says when it was due.
 */

/** What a heartbeat has seen of this thread's event loop, since the first connection with one was opened. */
export interface EventLoopLag {
  /** The longest stall, in ms. A stall is measured from the first timer that it delays, at most 100 ms late. */
  readonly longest: number;
  /** The last one, in ms, and when it ended (`performance.now()`); 0 when there was none. */
  readonly last: number;
  readonly lastAt: number;
  /** All of them together, in ms. */
  readonly total: number;
}

/** Being later than this, in ms, is a stall; less is how timers are. */
export const STALL = 25;

export class LoopLag {
  longest = 0;
  last = 0;
  lastAt = 0;
  total = 0;

  /** Something that was due at `expectedAt` runs now. */
  note(now: number, expectedAt: number): void {
    const late = now - expectedAt;
    if (late < STALL) return;
    this.last = late;
    this.lastAt = now;
    this.total += late;
    if (late > this.longest) this.longest = late;
  }

  report(): EventLoopLag {
    const { longest, last, lastAt, total } = this;
    return { longest, last, lastAt, total };
  }
}
