/**
 * What the kernel knows of a silent connection, on Linux: whether the other end's kernel acknowledges what we send.
 * `/proc/self/net/tcp[6]` is read when a verdict is due, once for all connections whose verdicts are due about then
 * (6 to 8 ms a read).
 */

import { readFileSync } from 'node:fs';

export interface TcpQueue {
  /** Bytes that were sent and not acknowledged, and bytes that have arrived and not been read. */
  readonly unacknowledged: number;
  readonly unread: number;
  /** How often the kernel has tried again to get an acknowledgement, in vain. */
  readonly retries: number;
  /** The peer takes nothing more: its program does not read. */
  readonly windowClosed: boolean;
}

export interface Ports {
  readonly local: number;
  readonly remote: number;
}

/** The sockets of a table by their ports; null where several have the same, to different addresses. */
export type TcpTable = Map<number, TcpQueue | null>;

/**
 * "sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout …", numbers in hex; of those that
 * are established, or whose peer has sent FIN. There may be far more that listen, or have closed.
 */
const ROW =
  /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) 0[18] ([0-9A-F]{8}):([0-9A-F]{8}) ([0-9A-F]{2}):[0-9A-F]{8} ([0-9A-F]{8}) +\d+ +(\d+)/gm;

const ZERO_WINDOW_PROBE = 4;

/** How long what was read is kept, at most, in ms. */
const KEPT = 1_000;

export function parseTcpTable(text: string, into: TcpTable = new Map()): TcpTable {
  for (const row of text.matchAll(ROW)) {
    const [local, remote, unacknowledged, unread, timer, retransmits] = row
      .slice(1, 7)
      .map((digits) => Number.parseInt(digits, 16));
    const key = keyOf({ local, remote });
    const windowClosed = timer === ZERO_WINDOW_PROBE;
    // Probes are counted from 0 again when they are answered, and one may be under way.
    const retries = windowClosed ? Math.max(0, Number(row[7]) - 1) : retransmits;
    into.set(key, into.has(key) ? null : { unacknowledged, unread, retries, windowClosed });
  }
  return into;
}

/** Undefined for a socket that is not there, or not certain to be the one that is meant. */
export function queueOf(table: TcpTable, ports: Ports): TcpQueue | undefined {
  return table.get(keyOf(ports)) ?? undefined;
}

function keyOf({ local, remote }: Ports): number {
  return local * 65_536 + remote;
}

let table: TcpTable | undefined;
let readAt = 0;

/**
 * The queue of a socket, as it was at `since` (`performance.now()`) or later. Undefined where the system does not
 * tell, and for sockets it does not know.
 */
export function tcpQueue(ports: Ports, since: number): TcpQueue | undefined {
  if (process.platform !== 'linux') return undefined;
  if (table === undefined || readAt < since) {
    if (table === undefined) setTimeout(forget, KEPT).unref();
    readAt = performance.now();
    table = parseTcpTable(read('/proc/self/net/tcp6'), parseTcpTable(read('/proc/self/net/tcp')));
  }
  return queueOf(table, ports);
}

function forget(): void {
  table = undefined;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
