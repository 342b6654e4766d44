/** The public names, nothing else. */

// Their types are made of Node's, which since TypeScript 6 nobody gets unasked.
/// <reference types="node" preserve="true" />

import { connect } from './connect.js';
import { Connection, ReadyState } from './connection.js';
import {
  ConnectionLostError,
  HandshakeError,
  HeartbeatTimeoutError,
  HeartwireError,
  ProtocolError,
  UsageError,
} from './errors.js';
import { venueHeartbeats } from './heartbeat/venues.js';
import { ConnectionBudget } from './persistent/connection-budget.js';
import { PersistentConnection } from './persistent/persistent-connection.js';
import { RedundantConnection } from './persistent/redundancy.js';
import { venues } from './persistent/venues.js';
import { Message } from './protocol/message.js';

export type { ConnectOptions } from './connect.js';
export type { ConnectionAttempt, Silence } from './errors.js';
export type {
  ApplicationHeartbeat,
  HeartbeatPayload,
  MessagePattern,
} from './heartbeat/application-heartbeat.js';
export type { EventLoopLag } from './heartbeat/loop-lag.js';
export type { HeartbeatStats, SilenceCause } from './heartbeat/report.js';
export type { RttSummary } from './heartbeat/rtt.js';
export type { HeartbeatOptions } from './heartbeat/settings.js';
export type { VenueHeartbeat } from './heartbeat/venues.js';
export type { MessageIterator } from './message-iterator.js';
export type {
  ConnectionHandlers,
  ConnectionLimits,
  IterateOptions,
  SendOptions,
  StreamSendOptions,
  WaitOptions,
} from './options.js';
export type { BackoffOptions } from './persistent/backoff.js';
export type { Clock } from './persistent/clock.js';
export type { DeduplicationOptions, Key } from './persistent/deduplication.js';
export type { Failure, FailureKind, RetryDecision } from './persistent/failure.js';
export type { HeldLimits, HeldMessage } from './persistent/held-messages.js';
export type { LatenessSummary } from './persistent/lateness.js';
export type { UnknownOutcome } from './persistent/outcomes.js';
export type { PersistentEnd, PersistentEvents, PersistentStats } from './persistent/persistent-events.js';
export type {
  Attempt,
  AttemptOptions,
  MessageRate,
  PersistentOptions,
  PersistentSendOptions,
  RecoverySession,
} from './persistent/persistent-options.js';
export type {
  LegStats,
  RedundantEnd,
  RedundantEvents,
  RedundantOptions,
  RedundantStats,
  RedundantSubscription,
} from './persistent/redundancy.js';
export type { RotationOptions, RotationStep } from './persistent/rotation-options.js';
export type { PersistentState, Transition } from './persistent/states.js';
export type { Subscription, SubscriptionState } from './persistent/subscription.js';
export type {
  Acknowledgement,
  SubscriptionProtocol,
  SubscriptionRequest,
} from './persistent/subscription-protocol.js';
export type { Rate } from './persistent/token-bucket.js';
export type { Fact, SequenceFields, Venue } from './persistent/venues.js';
export type { Extension } from './protocol/extensions.js';
export type { Payload } from './protocol/payload.js';
export type { PerMessageDeflateOptions } from './protocol/permessage-deflate.js';
export type { CloseInfo, ConnectionStats, HandshakeReport, Redirect } from './report.js';
export type { MessageSource } from './streamed-message.js';
export type { DuplexOptions } from './streams.js';
export type { ConnectionTarget, CreateConnection } from './transport/foreign-stream.js';
export type { SocketOptions, SocketReport } from './transport/socket-options.js';
export type { TlsOptions, TlsReport } from './transport/tls-client.js';

const names = {
  connect,
  Connection,
  Message,
  ReadyState,
  HeartwireError,
  UsageError,
  HandshakeError,
  ProtocolError,
  ConnectionLostError,
  HeartbeatTimeoutError,
  venueHeartbeats,
  ConnectionBudget,
  PersistentConnection,
  RedundantConnection,
  venues,
};

export {
  Connection,
  ConnectionBudget,
  ConnectionLostError,
  connect,
  HandshakeError,
  HeartbeatTimeoutError,
  HeartwireError,
  Message,
  // What `require('heartwire')` gives, where Node can require ES modules.
  names as 'module.exports',
  PersistentConnection,
  ProtocolError,
  ReadyState,
  RedundantConnection,
  UsageError,
  venueHeartbeats,
  venues,
};
