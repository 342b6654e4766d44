/**
 * One connection's heartbeat: what the watchdog asks for is done on the link, and what comes back is matched with it.
 * Without settings nothing is sent and nothing is judged; Pongs are told apart all the same.
 */

import { ConnectionLostError, HeartbeatTimeoutError } from '../errors.js';
import { rethrow } from '../protocol/callback.js';
import type { Message } from '../protocol/message.js';
import type { OutstandingPings } from '../protocol/outstanding-pings.js';
import { type HeartbeatPayload, matches, payloadOf } from './application-heartbeat.js';
import type { EventLoopLag } from './loop-lag.js';
import { PingSequence, PongKind } from './ping-sequence.js';
import type { HeartbeatStats } from './report.js';
import { Rtt } from './rtt.js';
import { type Schedule, type Scheduled, sharedSchedule } from './schedule.js';
import type { HeartbeatSettings } from './settings.js';
import { type Ports, type TcpQueue, tcpQueue } from './tcp-queue.js';
import { causeOf, Evidence, explain, isOnItsWay, weigh } from './verdict.js';
import { Action, type Sight, Watchdog } from './watchdog.js';

/** What a heartbeat does on a connection. One set of functions serves all, so that a connection costs no closures. */
export interface HeartbeatLink<Owner> {
  /** Writes down what is known of the link. */
  see(owner: Owner, sight: Sight): void;
  /** Sends a Ping; the payload is copied. */
  ping(owner: Owner, payload: Buffer): void;
  /** Sends a message. False: there is no room for it, or another one is unfinished. */
  send(owner: Owner, payload: HeartbeatPayload): boolean;
  /** From now on, or no longer, every message is to be shown to `look`. */
  watch(owner: Owner, wanted: boolean): void;
  ports(owner: Owner): Ports | undefined;
  onRtt(owner: Owner, roundTrip: number): void;
  /** The connection is to end at once. */
  fail(owner: Owner, error: ConnectionLostError): void;
}

/** ms until a reply that found no room is tried again. */
const PAY_AGAIN = 100;

/** ms, at least, between two looks at what a peer has acknowledged. */
const SOON = 100;
/** How old, in ms, what the kernel has said may be at a second look. */
const FRESH = 50;

/** What is worth a mention, in ms. */
const LONG_STALL = 100;
const RECENTLY = 1_000;

/** One for all: it is written before it is read. */
const sight: Sight = {
  lastReceivedAt: 0,
  pausedSince: 0,
  resumedAt: 0,
  sent: 0,
  queued: 0,
  taken: 0,
  sentAt: 0,
};

export class Heartbeat<Owner> implements Scheduled {
  dueAt = 0;
  position = -1;

  readonly #owner: Owner;
  readonly #link: HeartbeatLink<Owner>;
  readonly #settings: HeartbeatSettings | undefined;
  readonly #schedule: Schedule;
  /** While it beats. */
  #watchdog: Watchdog | undefined;
  /** The application's Pings. */
  readonly #others: OutstandingPings;
  /** Made when there is a first Ping or Pong: most connections are busy, and never need one. */
  #sequence: PingSequence | undefined;
  readonly #tag: number;
  #requests = 0;
  #askedAt = 0;
  /** The reply to the last request is awaited. */
  #awaitsReply = false;
  /** What the server asked for, and there was no room for yet. */
  #owed: HeartbeatPayload | undefined;
  #rtt: Rtt | undefined;
  #lastPongAt = 0;
  /** ms that the event loop had stood still, in all, when the last Ping was sent. */
  #stalledBefore = 0;

  constructor(
    settings: HeartbeatSettings | undefined,
    link: HeartbeatLink<Owner>,
    owner: Owner,
    others: OutstandingPings,
    tag: number,
    schedule = sharedSchedule(),
  ) {
    this.#settings = settings;
    this.#link = link;
    this.#owner = owner;
    this.#others = others;
    this.#tag = tag;
    this.#schedule = schedule;
  }

  start(): void {
    if (this.#settings === undefined) return;
    this.#watchdog = new Watchdog(this.#settings, this.#schedule.now());
    this.#schedule.set(this, this.#watchdog.dueAt);
    if (this.#settings.application?.isRequest !== undefined) this.#link.watch(this.#owner, true);
  }

  /** The connection is closing: from now on other deadlines hold. */
  stop(): void {
    if (this.#watchdog === undefined) return;
    this.#watchdog = undefined;
    this.#schedule.remove(this);
    this.#link.watch(this.#owner, false);
  }

  /** Nothing will be read for a while. */
  paused(now: number): void {
    const maxPause = this.#settings?.maxPause ?? 0;
    if (this.position < 0 || maxPause === 0) return;
    this.#schedule.set(this, Math.min(this.dueAt, now + maxPause));
  }

  stats(): HeartbeatStats {
    return {
      heartbeatsSent: (this.#sequence?.count ?? 0) + this.#requests,
      pongsLate: this.#sequence?.late ?? 0,
      pongsDuplicate: this.#sequence?.duplicate ?? 0,
      pongsForeign: this.#sequence?.foreign ?? 0,
      pongsUnsolicited: this.#sequence?.unsolicited ?? 0,
      lastPongAt: this.#lastPongAt,
      rtt: this.#rtt?.summary(),
      eventLoopLag: this.eventLoopLag,
    };
  }

  get eventLoopLag(): EventLoopLag | undefined {
    return this.#settings === undefined ? undefined : this.#schedule.look().report();
  }

  /** ms that this thread's event loop stood still, if it did until just now: a server does not wait for ever. */
  get recentStall(): number {
    if (this.#settings === undefined) return 0;
    const { last, lastAt } = this.#schedule.look();
    return last >= LONG_STALL && this.#schedule.now() - lastAt < RECENTLY ? Math.round(last) : 0;
  }

  // ----------------------------------------------------------------------------------------------- waking

  /** Of the schedule. */
  onDue(now: number): void {
    const watchdog = this.#watchdog!;
    this.#payDebt();
    // Has the thread stood still until after this was due?
    const { last, lastAt } = this.#schedule.lag;
    const ranUntil = lastAt >= this.dueAt ? lastAt - last : now;
    const action = watchdog.wake(now, ranUntil, this.#look(), this.#timeout);
    if (action === Action.poll) {
      this.#schedule.afterPoll(this);
      return;
    }
    if (action === Action.endPause) {
      this.#endPause(now);
      return;
    }
    if (action === Action.ask) this.#ask(watchdog);
    this.#schedule.set(this, watchdog.dueAt);
    if (this.#owed !== undefined) this.#payLater();
  }

  #ask(watchdog: Watchdog): void {
    const now = this.#schedule.now();
    const request = this.#settings!.application?.request;
    let isSent = true;
    if (request === undefined) this.#link.ping(this.#owner, this.#pings.next());
    else isSent = this.#request(request);
    if (isSent) {
      this.#look();
      // Where it was not written at once, the round trip is that of its wait as well.
      this.#askedAt = Math.max(now, sight.sentAt);
      this.#stalledBefore = this.#schedule.lag.total;
      watchdog.asked(now, sight, this.#timeout);
    } else {
      watchdog.couldNotAsk(now, this.#look(), this.#timeout);
    }
  }

  #request(request: HeartbeatPayload | (() => HeartbeatPayload)): boolean {
    try {
      if (!this.#link.send(this.#owner, payloadOf(request, undefined))) return false;
    } catch (thrown) {
      rethrow(thrown);
      return false;
    }
    this.#requests++;
    this.#awaitsReply = this.#settings!.application!.isReply !== undefined;
    if (this.#awaitsReply) this.#link.watch(this.#owner, true);
    return true;
  }

  get #pings(): PingSequence {
    this.#sequence ??= new PingSequence(this.#tag);
    return this.#sequence;
  }

  /** What the timeout is now, in ms. */
  get #timeout(): number {
    const { floor, ceiling } = this.#settings!;
    if (floor === ceiling || this.#rtt === undefined) return ceiling;
    return Math.min(ceiling, Math.max(floor, this.#rtt.bound));
  }

  #look(): Sight {
    this.#link.see(this.#owner, sight);
    return sight;
  }

  // ---------------------------------------------------------------------------------------------- answers

  /** A Pong has been read. `resumedAt`: when reading last went on after a pause. */
  pong(payload: Buffer, receivedAt: number, resumedAt: number): void {
    const others = this.#others;
    const pings = this.#pings;
    const kind = pings.answeredBy(payload);
    if (kind === PongKind.answer) {
      // A peer may answer only the latest of several Pings (RFC 6455 §5.5.3).
      others.answeredBefore(this.#askedAt, receivedAt);
      this.#answered(receivedAt, resumedAt, receivedAt - this.#askedAt);
    } else if (kind === PongKind.late) {
      pings.late++;
      this.#lastPongAt = receivedAt;
    } else if (kind === PongKind.duplicate) {
      pings.duplicate++;
    } else if (others.answeredBy(payload, receivedAt)) {
      this.#answered(receivedAt, resumedAt, others.lastRoundTrip);
    } else if (kind === PongKind.foreign || others.count > 0 || pings.isOpen) {
      pings.foreign++;
    } else {
      pings.unsolicited++;
    }
  }

  /** A round trip with a pause in it tells of the pause. */
  #answered(receivedAt: number, resumedAt: number, roundTrip: number): void {
    this.#lastPongAt = receivedAt;
    if (receivedAt - roundTrip < resumedAt) return;
    this.#rtt ??= new Rtt();
    if (this.#settings?.mode === 'always') this.#rtt.keepHistogram();
    this.#rtt.add(roundTrip);
    this.#link.onRtt(this.#owner, roundTrip);
  }

  /** A message while they are watched. True: it is not to be delivered. */
  look(message: Message, resumedAt: number): boolean {
    const { isReply, isRequest, reply, deliver } = this.#settings!.application!;
    try {
      if (this.#awaitsReply && matches(isReply!, message)) {
        this.#awaitsReply = false;
        if (isRequest === undefined) this.#link.watch(this.#owner, false);
        const { receivedAt } = message;
        this.#answered(receivedAt, resumedAt, receivedAt - this.#askedAt);
        return deliver === false;
      }
      if (isRequest !== undefined && matches(isRequest, message)) {
        this.#owed = payloadOf(reply!, message);
        this.#payDebt();
        if (this.#owed !== undefined) this.#payLater();
        return deliver === false;
      }
    } catch (thrown) {
      rethrow(thrown);
    }
    return false;
  }

  #payDebt(): void {
    if (this.#owed === undefined || !this.#link.send(this.#owner, this.#owed)) return;
    this.#owed = undefined;
  }

  #payLater(): void {
    const soon = this.#schedule.now() + PAY_AGAIN;
    if (this.position >= 0 && this.dueAt > soon) this.#schedule.set(this, soon);
  }

  // ---------------------------------------------------------------------------------------------- verdicts

  /** Of the schedule. */
  onPolled(now: number): void {
    const watchdog = this.#watchdog;
    if (watchdog === undefined) return;
    if (watchdog.isSilent(now, this.#look())) {
      const timeout = this.#timeout;
      const evidence = this.#evidence(watchdog, now, timeout);
      if (evidence !== Evidence.unread && evidence !== Evidence.underWay) {
        this.#declareDead(now, evidence, timeout);
        return;
      }
    }
    this.#schedule.set(this, watchdog.dueAt);
  }

  /** The kernel's, where it can be had. */
  #evidence(watchdog: Watchdog, now: number, timeout: number): number | undefined {
    const ports = this.#link.ports(this.#owner);
    let queue = ports && tcpQueue(ports, now - (watchdog.wasUnderWay ? FRESH : timeout / 2));
    // What was sent since the kernel was asked must not look like progress: this is one of several looks.
    if (queue !== undefined && isOnItsWay(this.#weigh(queue, watchdog))) {
      queue = tcpQueue(ports!, Math.min(now, sight.sentAt));
    }
    if (queue === undefined) return undefined;
    const { unacknowledged, retries, windowClosed } = queue;
    const evidence = this.#weigh(queue, watchdog);
    if (evidence === Evidence.unread) {
      watchdog.withhold(now);
      return evidence;
    }
    if (evidence === Evidence.silent)
      return watchdog.hasJustArrived(now, timeout) ? Evidence.underWay : evidence;
    if (evidence === Evidence.dead && !watchdog.wasUnderWay) return evidence;
    const soon = Math.min(timeout, Math.max(timeout / 5, SOON));
    const kernelWaits = evidence === Evidence.behind && retries === 0 && !windowClosed;
    if (watchdog.isUnderWay(now, sight.taken - unacknowledged, timeout, soon, kernelWaits))
      return Evidence.underWay;
    return windowClosed && retries === 0 ? Evidence.silent : Evidence.dead;
  }

  #weigh(queue: TcpQueue, watchdog: Watchdog): number {
    return weigh(queue, sight.sent - queue.unacknowledged, watchdog.end);
  }

  #declareDead(now: number, evidence: number | undefined, timeout: number): void {
    const asked = this.#settings!.mode !== 'listen';
    const { lastReceivedAt } = sight;
    const lag = this.#schedule.look();
    const stalledFor = asked ? lag.total - this.#stalledBefore : lag.lastAt > lastReceivedAt ? lag.last : 0;
    const cause = causeOf(evidence, { asked, answered: this.#lastPongAt > 0, stalled: stalledFor, timeout });
    const silentFor = Math.round(now - lastReceivedAt);
    const what =
      `The server has sent nothing for ${silentFor} ms` +
      (asked ? `, and nothing within ${Math.round(now - this.#askedAt)} ms of a heartbeat` : '') +
      `: ${explain(cause)}` +
      (stalledFor > 0 ? `; the event loop stood still for ${Math.round(stalledFor)} ms of it` : '');
    const known = {
      silence: cause,
      lastReceivedAt,
      lastPongAt: this.#lastPongAt,
      rtt: this.#rtt?.summary(),
      stalledFor,
      eventLoopLag: lag.report(),
    };
    this.#fail(
      cause === 'never-answered'
        ? new HeartbeatTimeoutError('ERR_PING_NEVER_ANSWERED', `${what}. ${this.#remedy}`, known)
        : new HeartbeatTimeoutError('ERR_HEARTBEAT_TIMEOUT', what, known),
    );
  }

  get #remedy(): string {
    return this.#settings!.application?.request === undefined
      ? 'Some servers ignore Ping frames: give heartbeat.application a request that this one answers, ' +
          "use mode 'listen', or turn the heartbeat off (heartbeat: false)"
      : 'Does the server answer what heartbeat.application sends, and does isReply recognise it?';
  }

  #endPause(now: number): void {
    const duration = Math.round(now - sight.pausedSince);
    const message = `Reading was paused for ${duration} ms; maxPause allows ${this.#settings!.maxPause}`;
    this.#fail(new ConnectionLostError('ERR_MAX_PAUSE', message));
  }

  #fail(error: ConnectionLostError): void {
    this.stop();
    this.#link.fail(this.#owner, error);
  }
}
