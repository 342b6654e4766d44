/** One of the things that `bench/heartbeat.ts` compares, in a process of its own. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { connect } from 'heartwire';
import { answer } from '../harness/answer.js';
import { median } from '../harness/statistics.js';
import { PING } from '../server/frames.js';

export type Beat =
  | 'receiving'
  | 'idle, heartwire'
  | 'idle, raw'
  | 'round trip, heartwire'
  | 'round trip, raw';

export interface Setting {
  kind: Beat;
  url: string;
  quick: boolean;
  /** Of the messages received. */
  byteLength?: number;
  /** Of connections. */
  count?: number;
}

export type HeartbeatCalls = {
  prepare(setting: Setting): Promise<void>;
  /** µs: of CPU time a message, or a Ping and its Pong; or of the median round trip. */
  measure(argument: { beats?: boolean }): Promise<number>;
};

/** ms between Pings: while receiving, and on idle connections, so many that each is pinged once while it is measured. */
const INTERVAL = 1_000;
const IDLE_INTERVAL = 5_000;
/** ms between those whose round trips are compared. */
const QUICK_INTERVAL = 10;
/** Connections that are opened at once. */
const TOGETHER = 100;
const WINDOW = 3_000;

/** A masked Ping and the Pong that answers it, as Heartwire's: eight bytes of payload. */
const PING_FRAME = Buffer.concat([Buffer.from([PING, 0x88]), randomBytes(12)]);
const PONG_LENGTH = 10;

type Measure = (beats: boolean) => Promise<number>;

let measure: Measure = () => Promise.reject(new Error('not prepared'));

answer<HeartbeatCalls>({
  async prepare(setting) {
    measure = await prepared(setting);
    // The code is compiled while nobody measures.
    await measure(true);
    if (setting.kind === 'receiving') await measure(false);
  },
  measure: ({ beats = true }) => measure(beats),
});

function prepared(setting: Setting): Measure | Promise<Measure> {
  switch (setting.kind) {
    case 'receiving':
      return receiving(setting);
    case 'idle, heartwire':
      return idleConnections(setting);
    case 'idle, raw':
      return idleSockets(setting);
    case 'round trip, heartwire':
      return roundTripsOfConnection(setting);
    case 'round trip, raw':
      return roundTripsOfSocket(setting);
  }
}

/** CPU time in µs that `body` takes, for each of the things it says it did. */
async function cpuEach(body: () => Promise<number>): Promise<number> {
  const before = process.cpuUsage();
  const done = await body();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / done;
}

function receiving({ url, byteLength = 128, quick }: Setting): Measure {
  // The server's part of the benchmark's workload `receive`: binary, 128 B or 1 KiB.
  const target = `${url}/receive/${byteLength === 128 ? 1 : 2}`;
  const messages = Math.round((quick ? 100e6 : 600e6) / (byteLength + 128));
  return async (beats) => {
    let left = messages;
    let sum = 0;
    let complete = (): void => {};
    const done = new Promise<void>((resolve) => {
      complete = resolve;
    });
    const connection = await connect(target, {
      heartbeat: beats && { mode: 'always', interval: INTERVAL },
      onMessage(message) {
        sum += message.buffer[message.byteOffset] + message.byteLength;
        if (--left === 0) complete();
      },
    });
    const each = await cpuEach(async () => {
      connection.send(String(messages));
      await done;
      return messages;
    });
    if (sum < messages * byteLength) throw new Error('messages of another length');
    await connection.close();
    return each;
  };
}

async function idleConnections({ url, count = 1 }: Setting): Promise<Measure> {
  let pongs = 0;
  const onRtt = (): void => {
    pongs++;
  };
  const heartbeat = { mode: 'always', interval: IDLE_INTERVAL } as const;
  await together(count, () => connect(`${url}/receive/0`, { heartbeat, onRtt, onMessage() {} }));
  return () => window(count, () => pongs);
}

async function idleSockets({ url, count = 1 }: Setting): Promise<Measure> {
  let bytes = 0;
  const sockets = await together(count, () =>
    rawSocket(url, (read) => {
      bytes += read;
    }),
  );
  // As many as are due by now: a timer that is late must not send less.
  const start = performance.now();
  let sent = 0;
  setInterval(() => {
    const due = ((performance.now() - start) / IDLE_INTERVAL) * count;
    for (; sent < due; sent++) sockets[sent % count].write(PING_FRAME);
  }, 10).unref();
  return () => window(count, () => bytes / PONG_LENGTH);
}

/** CPU time for each Pong that comes in one interval. */
function window(count: number, pongs: () => number): Promise<number> {
  return cpuEach(async () => {
    const before = pongs();
    await delay(IDLE_INTERVAL);
    const done = pongs() - before;
    if (done < 0.5 * count) throw new Error(`${done} pongs, not ${count}: the machine is too busy`);
    return done;
  });
}

async function roundTripsOfConnection({ url, quick }: Setting): Promise<Measure> {
  let roundTrips: number[] = [];
  await connect(`${url}/receive/0`, {
    heartbeat: { mode: 'always', interval: QUICK_INTERVAL },
    onRtt: (roundTrip) => void roundTrips.push(roundTrip),
    onMessage() {},
  });
  return async () => {
    roundTrips = [];
    await delay(quick ? WINDOW / 3 : WINDOW);
    return 1_000 * median(roundTrips);
  };
}

async function roundTripsOfSocket({ url, quick }: Setting): Promise<Measure> {
  let roundTrips: number[] = [];
  let sentAt = 0;
  const socket = await rawSocket(url, () => {
    roundTrips.push(performance.now() - sentAt);
  });
  setInterval(() => {
    sentAt = performance.now();
    socket.write(PING_FRAME);
  }, QUICK_INTERVAL).unref();
  return async () => {
    roundTrips = [];
    await delay(quick ? WINDOW / 3 : WINDOW);
    return 1_000 * median(roundTrips);
  };
}

async function together<T>(count: number, open: () => Promise<T>): Promise<T[]> {
  const all: T[] = [];
  while (all.length < count) {
    const portion = Math.min(TOGETHER, count - all.length);
    all.push(...(await Promise.all(Array.from({ length: portion }, open))));
  }
  return all;
}

/** All read into the same place: what comes is only counted. */
const place = Buffer.alloc(64 * 1024);

async function rawSocket(url: string, onRead: (count: number) => void): Promise<Socket> {
  const { hostname, port } = new URL(url);
  let opened: (() => void) | undefined;
  const open = new Promise<void>((resolve) => {
    opened = resolve;
  });
  const callback = (count: number): boolean => {
    if (opened === undefined) {
      onRead(count);
    } else {
      opened();
      opened = undefined;
    }
    return true;
  };
  const socket = connectTcp({ host: hostname, port: Number(port), onread: { buffer: place, callback } });
  await once(socket, 'connect');
  socket.setNoDelay(true);
  socket.write(
    `GET /receive/0 HTTP/1.1\r\nHost: ${hostname}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  await open;
  return socket;
}
