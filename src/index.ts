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
import { sequenceOf } from './persistent/sequence.js';
import { venues } from './persistent/venues.js';
import { Message } from './protocol/message.js';
import { createWebSocketStream } from './websocket/stream.js';
import { WebSocket } from './websocket.js';

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
export type { ConsumerOptions, ConsumerStats, WhenFull } from './persistent/consumer-policy.js';
export type { DeduplicationOptions, Key } from './persistent/deduplication.js';
export type { Failure, FailureKind, RetryDecision } from './persistent/failure.js';
export type { Gap, GapBound, GapReason } from './persistent/gap.js';
export type { HeldLimits, HeldMessage } from './persistent/held-messages.js';
export type { LatenessSummary } from './persistent/lateness.js';
export type { UnknownOutcome } from './persistent/outcomes.js';
export type { PersistentEnd, PersistentEvents, PersistentStats } from './persistent/persistent-events.js';
export type {
  Attempt,
  AttemptOptions,
  Continuity,
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
export type { Resynced, ResyncFailure, ResyncOptions, ResyncRequest } from './persistent/resync.js';
export type { RotationOptions, RotationStep } from './persistent/rotation-options.js';
export type { Sequence, SequenceMark } from './persistent/sequence.js';
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
export type {
  ClientOptions,
  FinishRequestCallback,
} from './websocket/client-options.js';
export type { WebSocketEvents } from './websocket/listening.js';
export type { BufferLike, SendFrameOptions } from './websocket/payload.js';

type RawData = WebSocket.RawData;
type Data = WebSocket.Data;

/** What `require('heartwire')` gives, where Node can require ES modules: as `ws` does, the class with the names on it. */
const commonJs = /* @__PURE__ */ Object.assign(WebSocket, {
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
  sequenceOf,
  RedundantConnection,
  venues,
});

export {
  Connection,
  ConnectionBudget,
  ConnectionLostError,
  commonJs as 'module.exports',
  connect,
  createWebSocketStream,
  type Data,
  HandshakeError,
  HeartbeatTimeoutError,
  HeartwireError,
  Message,
  PersistentConnection,
  ProtocolError,
  type RawData,
  ReadyState,
  RedundantConnection,
  sequenceOf,
  UsageError,
  venueHeartbeats,
  venues,
  WebSocket,
};
export default WebSocket;
