/** The public names, nothing else. */

// Their types are made of Node's, which since TypeScript 6 nobody gets unasked.
/// <reference types="node" preserve="true" />

import { connect } from './connect.js';
import { Connection, ReadyState } from './connection.js';
import { ConnectionLostError, HandshakeError, HeartwireError, ProtocolError, UsageError } from './errors.js';
import { Message } from './protocol/message.js';
import { createWebSocketStream } from './websocket/stream.js';
import { WebSocket } from './websocket.js';

export type { ConnectOptions } from './connect.js';
export type { ConnectionAttempt } from './errors.js';
export type { MessageIterator } from './message-iterator.js';
export type {
  ConnectionHandlers,
  ConnectionLimits,
  IterateOptions,
  SendOptions,
  WaitOptions,
} from './options.js';
export type { Extension } from './protocol/extensions.js';
export type { Payload } from './protocol/payload.js';
export type { CloseInfo, ConnectionStats, HandshakeReport, Redirect } from './report.js';
export type { MessageSource } from './streamed-message.js';
export type { DuplexOptions } from './streams.js';
export type { ConnectionTarget, CreateConnection } from './transport/foreign-stream.js';
export type { SocketOptions } from './transport/socket-options.js';
export type { TlsOptions, TlsReport } from './transport/tls-client.js';
export type {
  ClientOptions,
  FinishRequestCallback,
  PerMessageDeflateOptions,
} from './websocket/client-options.js';
export type { WebSocketEvents } from './websocket/listening.js';
export type { BufferLike } from './websocket/payload.js';
export type { SendFrameOptions } from './websocket.js';

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
});

export {
  Connection,
  ConnectionLostError,
  commonJs as 'module.exports',
  connect,
  createWebSocketStream,
  type Data,
  HandshakeError,
  HeartwireError,
  Message,
  ProtocolError,
  type RawData,
  ReadyState,
  UsageError,
  WebSocket,
};
export default WebSocket;
