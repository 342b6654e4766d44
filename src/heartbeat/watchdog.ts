/**
 * The judgement over one link, without a timer or a socket: it is woken, told what is known, and says what to do and
 * when to wake it next. It costs nothing while bytes arrive: it looks when it is woken, and goes to sleep again.
 */

import type { HeartbeatSettings } from './settings.js';

/** What is known of the link when the watchdog is woken. Times are `performance.now()`. */
export interface Sight {
  lastReceivedAt: number;
  /** Since when nothing is read; 0 while we read. */
  pausedSince: number;
  /** When reading went on the last time. */
  resumedAt: number;
  /** Bytes handed to the kernel since the beginning, and those together with what waits here. */
  sent: number;
  queued: number;
  /** Bytes on the wire, TLS included, that the kernel has taken; 0 where that is not known. */
  taken: number;
  /** When the last write began. */
  sentAt: number;
}

export const Action = {
  none: 0,
  /** Send a Ping, or the application's request, and say so by `asked` or `couldNotAsk`. */
  ask: 1,
  /** The deadline has passed: let the event loop read what has arrived, then call `isSilent`. */
  poll: 2,
  /** `maxPause` has passed. */
  endPause: 3,
} as const;

/** ms until another attempt, or another look, where it is too early. */
const AGAIN = 100;
/** More than this in front of a Ping, in bytes, and it waits for the peer to take what was sent before. */
const BACKLOG = 64 * 1024;

export class Watchdog {
  /** When to wake it next. */
  dueAt: number;
  readonly #settings: HeartbeatSettings;

  /** When the last Ping was sent; at first, when the connection was opened. */
  #askedAt: number;
  #waiting = false;
  #deadline = 0;
  /** This deadline has been put off because this thread stood still. */
  #putOff = false;
  /** When the link last gave a sign of life, as of the deadline. */
  #provedAt = 0;
  /** Where the Ping ends in the stream of bytes sent. */
  #end = 0;
  /** Much waits in front of it; and what of that the kernel had taken when last looked. */
  #isBehind = false;
  #taken = 0;
  /** As of the last look at a Ping on its way; -1 before that, Infinity when it has come to the peer. */
  #acknowledged = -1;
  #acknowledgedAt = 0;
  /** Nothing could be sent, because too much waits: that it leaves is awaited, and then asked. */
  #stuck = false;

  constructor(settings: HeartbeatSettings, now: number) {
    this.#settings = settings;
    this.#askedAt = now;
    this.dueAt = now + (settings.mode === 'listen' ? settings.floor : settings.interval);
  }

  /** When the last Ping was sent. */
  get askedAt(): number {
    return this.#askedAt;
  }

  /** Where it ends in the stream of bytes sent. */
  get end(): number {
    return this.#end;
  }

  /** `ranUntil`: when this thread last ran before now, if it has just stood still. `timeout`: what it is now, in ms. */
  wake(now: number, ranUntil: number, sight: Sight, timeout: number): number {
    if (sight.pausedSince > 0) return this.#duringPause(now, sight.pausedSince);
    if (this.#settings.mode === 'listen') return this.#listen(now, ranUntil, sight, timeout);
    return this.#waiting ? this.#await(now, ranUntil, sight, timeout) : this.#rest(now, sight);
  }

  /** A Ping has just been sent. */
  asked(now: number, sight: Sight, timeout: number): void {
    this.#askedAt = now;
    this.#waiting = true;
    this.#stuck = false;
    this.#putOff = false;
    this.#end = sight.queued;
    this.#isBehind = sight.queued - sight.sent > BACKLOG;
    this.#taken = takenOf(sight);
    this.#acknowledged = -1;
    this.#deadline = now + timeout;
    this.#lookAgain(now);
  }

  /** There was no room, or a message is unfinished. */
  couldNotAsk(now: number, sight: Sight, timeout: number): void {
    if (sight.queued === sight.sent) {
      this.dueAt = now + AGAIN;
      return;
    }
    this.asked(now, sight, timeout);
    this.#stuck = true;
  }

  /** Everything that had arrived at the deadline has been read. Was there nothing? Then the link is to be judged. */
  isSilent(now: number, sight: Sight): boolean {
    if (sight.pausedSince === 0 && provedAt(sight) <= this.#provedAt) return true;
    this.dueAt = now;
    return false;
  }

  /** The kernel holds bytes that we have not read: it is we who are slow. */
  withhold(now: number): void {
    this.#sleep(now + AGAIN);
  }

  /**
   * The Ping has not come to the peer yet, whose kernel has acknowledged so many bytes, on the wire. The first look is
   * soon followed by a second, which can tell: false when there were as many at the last one, unless our kernel still
   * expects them (`kernelWaits`), for up to two timeouts.
   */
  isUnderWay(
    now: number,
    acknowledged: number,
    timeout: number,
    soon: number,
    kernelWaits: boolean,
  ): boolean {
    if (acknowledged > this.#acknowledged) {
      this.#sleep(now + (this.#acknowledged < 0 ? soon : timeout));
      this.#acknowledged = acknowledged;
      this.#acknowledgedAt = now;
      return true;
    }
    if (!kernelWaits || now - this.#acknowledgedAt >= 2 * timeout) return false;
    this.#sleep(now + soon);
    return true;
  }

  /** At the last look the Ping had not come to the peer yet. */
  get wasUnderWay(): boolean {
    return this.#acknowledged >= 0 && this.#acknowledged < Infinity;
  }

  /** The Ping has come to the peer only since the last look: from then on it has the timeout to answer. */
  hasJustArrived(now: number, timeout: number): boolean {
    if (!this.wasUnderWay) return false;
    this.#acknowledged = Infinity;
    this.#sleep(now + timeout);
    return true;
  }

  // ------------------------------------------------------------------------------------------------ states

  /** Nothing the server sends can be seen: neither verdict nor deadline, until reading goes on. */
  #duringPause(now: number, since: number): number {
    const { maxPause, interval } = this.#settings;
    this.#waiting = false;
    if (maxPause > 0 && now - since >= maxPause) return Action.endPause;
    this.dueAt = maxPause > 0 ? Math.min(now + interval, since + maxPause) : now + interval;
    return Action.none;
  }

  #rest(now: number, sight: Sight): number {
    const { mode, interval } = this.#settings;
    const since = mode === 'idle' ? provedAt(sight) : Math.max(this.#askedAt, sight.resumedAt);
    this.dueAt = since + interval;
    return this.dueAt <= now ? Action.ask : Action.none;
  }

  #await(now: number, ranUntil: number, sight: Sight, timeout: number): number {
    if (sight.lastReceivedAt >= this.#askedAt) {
      this.#waiting = false;
      return this.#rest(now, sight);
    }
    if (this.#stuck && sight.sent >= this.#end) {
      this.#waiting = false;
      return Action.ask;
    }
    // Reading was paused meanwhile: the deadline starts anew.
    if (sight.resumedAt > this.#askedAt) this.#deadline = Math.max(this.#deadline, sight.resumedAt + timeout);
    if (now < this.#deadline) return this.#lookAgain(now);
    // What is in front of the Ping leaves only as the peer acknowledges what left before: that is a sign of life.
    const taken = takenOf(sight);
    const isMoving = this.#isBehind && taken > this.#taken;
    this.#isBehind = sight.sent < this.#end;
    this.#taken = taken;
    return isMoving ? this.#sleep(now + timeout) : this.#expire(now, ranUntil, sight);
  }

  #listen(now: number, ranUntil: number, sight: Sight, timeout: number): number {
    const deadline = provedAt(sight) + timeout;
    if (this.#deadline < deadline) {
      this.#deadline = deadline;
      this.#putOff = false;
    }
    return now < this.#deadline ? this.#sleep(this.#deadline) : this.#expire(now, ranUntil, sight);
  }

  /**
   * Time in which this thread did not run is not counted: the whole machine may have been suspended, and the Pong be
   * on its way. Once, so that a loop that is always late comes to a verdict as well.
   */
  #expire(now: number, ranUntil: number, sight: Sight): number {
    if (ranUntil < this.#deadline && !this.#putOff) {
      this.#putOff = true;
      return this.#sleep(now + this.#deadline - Math.max(ranUntil, provedAt(sight), this.#askedAt));
    }
    this.#provedAt = provedAt(sight);
    return Action.poll;
  }

  /** The answer may come long before the deadline, and the next Ping be due. */
  #lookAgain(now: number): number {
    this.dueAt = Math.min(this.#deadline, now + this.#settings.interval);
    return Action.none;
  }

  #sleep(until: number): number {
    this.#deadline = until;
    this.dueAt = until;
    return Action.none;
  }
}

function takenOf({ sent, taken }: Sight): number {
  return taken > 0 ? taken : sent;
}

/** What was read before a pause tells nothing of the time after it, and nothing has been missed since. */
function provedAt(sight: Sight): number {
  return Math.max(sight.lastReceivedAt, sight.resumedAt);
}
