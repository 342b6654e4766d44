/** A link without a socket: a heartbeat on a clock that tests move, and a server that answers as they say. */
import type { ConnectionLostError } from '../../src/errors.js';
import { Heartbeat, type HeartbeatLink } from '../../src/heartbeat/heartbeat.js';
import { Schedule } from '../../src/heartbeat/schedule.js';
import { type HeartbeatOptions, heartbeatSettings } from '../../src/heartbeat/settings.js';
import { OutstandingPings } from '../../src/protocol/outstanding-pings.js';
import { FakeClock } from './fake-clock.js';

/** Bytes of a Ping with its header and payload. */
export const PING_SIZE = 14;

export class FakeLink {
  readonly clock: FakeClock;
  readonly schedule: Schedule;
  readonly users = new OutstandingPings();
  readonly heartbeat: Heartbeat<FakeLink>;
  readonly start: number;
  /** When Pings and requests were sent, in ms from the start. */
  readonly asked: number[] = [];
  readonly payloads: Buffer[] = [];
  readonly messages: (string | Uint8Array)[] = [];
  readonly roundTrips: number[] = [];
  failure: ConnectionLostError | undefined;
  failedAt = 0;
  watched = false;

  lastReceivedAt: number;
  pausedSince = 0;
  resumedAt = 0;
  sent = 0;
  queued = 0;
  hasRoom = true;
  /** What the server does with a Ping. */
  onPing: (payload: Buffer) => void = () => {};
  /** What lies in the kernel, to be read in the next poll phase in which we read. */
  #arrived: { at: number; payload: Buffer | undefined }[] = [];

  constructor(options: HeartbeatOptions, clock = new FakeClock(), schedule = new Schedule(clock)) {
    this.clock = clock;
    this.schedule = schedule;
    this.start = clock.time;
    this.lastReceivedAt = clock.time;
    const polled = clock.onPoll;
    clock.onPoll = () => {
      polled();
      this.#poll();
    };
    this.heartbeat = new Heartbeat<FakeLink>(
      heartbeatSettings(options),
      FakeLink.#link,
      this,
      this.users,
      7,
      schedule,
    );
    this.heartbeat.start();
  }

  /** ms since the start. */
  get elapsed(): number {
    return this.clock.time - this.start;
  }

  /** Bytes of the server's arrive `after` ms: data, or a Pong with this payload. */
  arrives(after: number, payload?: Buffer): void {
    this.#arrived.push({ at: this.clock.time + after, payload: payload && Buffer.from(payload) });
    // A byte that arrives wakes the loop.
    this.clock.start(() => {}, after);
  }

  /** The server answers every Ping `after` ms. */
  answering(after: number): this {
    this.onPing = (payload) => this.arrives(after, payload);
    return this;
  }

  pause(): void {
    this.pausedSince = this.clock.time;
    this.heartbeat.paused(this.clock.time);
  }

  resume(): void {
    this.pausedSince = 0;
    this.resumedAt = this.clock.time;
  }

  #poll(): void {
    if (this.pausedSince > 0 || this.failure !== undefined) return;
    const { time } = this.clock;
    const read = this.#arrived.filter(({ at }) => at <= time);
    this.#arrived = this.#arrived.filter(({ at }) => at > time);
    for (const { payload } of read) {
      this.lastReceivedAt = time;
      if (payload !== undefined) this.heartbeat.pong(payload, time, this.resumedAt);
    }
  }

  static readonly #link: HeartbeatLink<FakeLink> = {
    see(link, sight) {
      const { lastReceivedAt, pausedSince, resumedAt, sent, queued } = link;
      Object.assign(sight, { lastReceivedAt, pausedSince, resumedAt, sent, queued, taken: 0, sentAt: 0 });
    },
    ping(link, payload) {
      link.#wrote(PING_SIZE);
      link.payloads.push(Buffer.from(payload));
      link.onPing(payload);
    },
    send(link, payload) {
      if (!link.hasRoom) return false;
      link.#wrote(payload.length);
      link.messages.push(payload);
      return true;
    },
    watch(link, wanted) {
      link.watched = wanted;
    },
    ports: () => undefined,
    onRtt: (link, roundTrip) => void link.roundTrips.push(roundTrip),
    fail(link, error) {
      link.failure = error;
      link.failedAt = link.elapsed;
    },
  };

  #wrote(bytes: number): void {
    this.asked.push(this.elapsed);
    // With nothing in front the kernel takes it at once.
    if (this.queued === this.sent) this.sent += bytes;
    this.queued += bytes;
  }
}
