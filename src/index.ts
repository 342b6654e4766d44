/** The public names, nothing else. */

export { type ConnectOptions, connect } from './connect.js';
export {
  type CloseInfo,
  Connection,
  type ConnectionHandlers,
  type ConnectionStats,
  type HandshakeReport,
  ReadyState,
  type SendOptions,
} from './connection.js';
export {
  ConnectionLostError,
  HandshakeError,
  HeartwireError,
  ProtocolError,
  UsageError,
} from './errors.js';
export type { Extension } from './protocol/extensions.js';
export { Message } from './protocol/message.js';
export type { Payload } from './protocol/payload.js';
export type { SocketOptions } from './transport/socket-options.js';
export type { TlsOptions } from './transport/transport.js';
