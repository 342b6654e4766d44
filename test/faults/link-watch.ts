/**
 * Heartbeats for these tests: those of `Connection` where it has them; where it has none yet, Pings from outside, with
 * the same interval and deadline, and a verdict only when what has arrived is read.
 */
import type { AttemptOptions, Connection, PersistentConnection } from '../../src/index.js';
import { turns } from '../server/scripted-server.js';

export interface Heartbeat {
  mode: 'always';
  /** ms between Pings. */
  interval: number;
  /** ms for a Pong. */
  timeout: number;
}

/** For the option `connect`. */
export function heartbeat(options: Heartbeat): AttemptOptions {
  return { heartbeat: options } as AttemptOptions;
}

/** The connection beats by itself. */
export function hasHeartbeat(connection: Connection): boolean {
  return 'rtt' in connection.stats();
}

export function watch(feed: PersistentConnection, { interval, timeout }: Heartbeat): void {
  feed.on('state', ({ to }) => {
    const { connection } = feed;
    if (to !== 'authenticating' || connection === undefined || hasHeartbeat(connection)) return;
    const beat = setInterval(() => {
      let answered = false;
      void connection.ping().then(
        () => {
          answered = true;
        },
        () => {},
      );
      const deadline = setTimeout(async () => {
        await turns(2);
        if (!answered) connection.terminate();
      }, timeout);
      void connection.closed.then(() => clearTimeout(deadline));
    }, interval);
    void connection.closed.then(() => clearInterval(beat));
  });
}
