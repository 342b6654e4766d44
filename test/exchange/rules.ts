/** What an exchange demands and allows. A script changes it while it runs; what has begun goes by the old rules. */

export interface Rules {
  /** Everything but the login is forbidden before a login. */
  login: boolean;
  /** ms: how old a login's time may be, or how far ahead. */
  loginWindow: number;
  /** ms from a login to its answer. */
  loginDelay: number;
  /** Logins that are refused from now on, whatever they are signed with. */
  refuseLogins: number;
  /** ms from a request to its acknowledgement. */
  ackDelay: number;
  /** Of the acknowledgements from now on, so many are never sent. */
  loseAcks: number;
  /** Subscriptions of one connection. */
  maxSubscriptions: number;
  /** Channels that it does not have. */
  unknownChannels: readonly string[];
  /** Messages of a client's per second, Pings and Pongs included; who exceeds it is closed with 1008. */
  maxMessagesPerSecond: number;
  /** ms between Pings of ours; the Pong must come within `pongTimeout`, or the connection is cut. */
  pingInterval: number | undefined;
  pongTimeout: number;
  /** ms between heartbeat messages of ours. */
  heartbeatInterval: number | undefined;
  /** ms without a message of the client's, until it is cut. */
  idleTimeout: number | undefined;
  /** ms from publishing a message to its leaving on each session that is opened from now on. */
  lag: number;
  /** ms that a connection lives; `notice` before, the client is told. */
  lifetime: number | undefined;
  notice: number;
  /** Who subscribes is first sent the last so many trades once more. */
  replay: number;
  /** Does not accept orders' outcome: they are taken and never answered. */
  silentOrders: boolean;
  /** The answer to opening handshakes, unless it is the 101. */
  refuse: ((attempt: number) => Refusal | undefined) | undefined;
  /** Right after the opening handshake: a close code, after so many ms. */
  closeAfterOpen: { code: number; after: number } | undefined;
}

export interface Refusal {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

export const LENIENT: Rules = {
  login: false,
  loginWindow: 30_000,
  loginDelay: 0,
  refuseLogins: 0,
  ackDelay: 0,
  loseAcks: 0,
  maxSubscriptions: Number.POSITIVE_INFINITY,
  unknownChannels: [],
  maxMessagesPerSecond: Number.POSITIVE_INFINITY,
  pingInterval: undefined,
  pongTimeout: 10_000,
  heartbeatInterval: undefined,
  idleTimeout: undefined,
  lifetime: undefined,
  notice: 0,
  lag: 0,
  replay: 0,
  silentOrders: false,
  refuse: undefined,
  closeAfterOpen: undefined,
};
