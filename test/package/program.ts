/** A program that uses everything this package exports, to be compiled where it is installed; not to be run. */
export const PROGRAM = `
import {
  type BufferLike,
  type ClientOptions,
  type CloseInfo,
  connect,
  Connection,
  type ConnectionAttempt,
  type ConnectionHandlers,
  type ConnectionLimits,
  ConnectionLostError,
  type ConnectionStats,
  type ConnectionTarget,
  type ConnectOptions,
  type CreateConnection,
  createWebSocketStream,
  type Data,
  type DuplexOptions,
  type Extension,
  type FinishRequestCallback,
  HandshakeError,
  type HandshakeReport,
  HeartwireError,
  type IterateOptions,
  Message,
  type MessageIterator,
  type MessageSource,
  type Payload,
  type PerMessageDeflateOptions,
  ProtocolError,
  type RawData,
  ReadyState,
  type Redirect,
  type SendFrameOptions,
  type SendOptions,
  type SocketOptions,
  type TlsOptions,
  type TlsReport,
  UsageError,
  type WaitOptions,
  WebSocket,
  type WebSocketEvents,
} from 'heartwire';
import DefaultWebSocket from 'heartwire';
import { WebSocket as StandardWebSocket } from 'heartwire/whatwg';
import { createConnection as dial } from 'node:net';

/** Compiles when what is given is of this type, and not of type any. */
function is<Wanted>(): <Given>(given: Given & Wanted & (0 extends 1 & Given ? never : unknown)) => void {
  return () => {};
}

// ------------------------------------------------------------------------------------------------- options

const handlers: ConnectionHandlers = {
  onMessage(message, connection) {
    is<Message>()(message);
    is<Connection>()(connection);
  },
  onPing: (payload) => is<Buffer>()(payload),
  onPong: (payload, connection) => void connection.send(payload),
  onDrain: (connection) => connection.resume(),
  onClose: (info) => is<CloseInfo>()(info),
};
const limits: ConnectionLimits = {
  maxMessageSize: 1,
  highWaterMark: 2,
  maxBufferedAmount: 3,
  closeTimeout: 4,
};
const socket: SocketOptions = { noDelay: true, keepAlive: { initialDelay: 1_000 }, family: 4 };
const unkept: SocketOptions = { keepAlive: false, localAddress: '127.0.0.1' };
const tls: TlsOptions = { ca: ['pem'], servername: 'localhost', rejectUnauthorized: true };
const createConnection: CreateConnection = ({ host, port, secure, url }: ConnectionTarget) => {
  console.log(secure ? url.trim() : host.trim());
  return dial({ host, port });
};
const options: ConnectOptions = {
  ...handlers,
  ...limits,
  protocols: ['a', 'b'],
  headers: { Authorization: 'x', Cookie: ['a=b', 'c=d'] },
  handshakeTimeout: 1_000,
  maxRedirects: 2,
  signal: AbortSignal.timeout(1_000),
  socket,
  tls,
  proxy: new URL('http://127.0.0.1:3128'),
};
const others: readonly ConnectOptions[] = [{}, { protocols: 'a', proxy: 'env', socket: unkept }, { createConnection }];
// @ts-expect-error: there is no such option
const misspelt: ConnectOptions = { handshakeTimeOut: 1 };

// ---------------------------------------------------------------------------------------------- connection

const connection: Connection = await connect('ws://127.0.0.1/', options);
await connect(new URL('ws://127.0.0.1/'), others[0] ?? misspelt);

is<string>()(connection.url);
is<string>()(connection.protocol);
const parameters = connection.extensions.map((extension: Extension) => extension.name.trim());
is<number>()(connection.id);
is<number>()(connection.bufferedAmount);
is<boolean>()(connection.readyState === ReadyState.open && !connection.isPaused);
is<string | undefined>()(connection.remoteAddress);
is<number | undefined>()(connection.remotePort);

const { attempts, headers, notApplied, proxy, redirects, status, timings, tls: agreed }: HandshakeReport =
  connection.handshake;
const [attempt]: readonly ConnectionAttempt[] = attempts;
const [redirect]: readonly Redirect[] = redirects;
const report: TlsReport | undefined = agreed;
console.log(attempt?.address.trim(), attempt?.port.toFixed(), attempt?.family === 6, attempt?.error?.message);
console.log(redirect?.status.toFixed(), redirect?.location.trim(), headers['date']?.trim(), proxy?.trim());
console.log(report?.protocol.trim(), report?.cipher.trim(), report?.alpn?.trim(), report?.resumed === true);
console.log(status.toFixed(), timings.open - timings.connect, timings.lookup, timings.tunnel, timings.tls);
console.log(notApplied.includes('typeOfService'), parameters);

const statistics: ConnectionStats = connection.stats();
const counters: number[] = [
  statistics.bytesReceived,
  statistics.bytesSent,
  statistics.pingsReceived,
  statistics.pongsReceived,
  statistics.pongsSkipped,
  statistics.lastReceivedAt,
  statistics.lastSentAt,
];
console.log(counters);

// ------------------------------------------------------------------------------------------------- sending

const how: SendOptions = { binary: true, fin: false };
const payloads: Payload[] = [
  'text',
  Buffer.alloc(1),
  new Uint8Array(1),
  new Float64Array(1),
  new DataView(new ArrayBuffer(1)),
  new ArrayBuffer(1),
  new SharedArrayBuffer(1),
];
for (const payload of payloads) is<boolean>()(connection.send(payload, how));
// @ts-expect-error: a number is no payload
connection.send(1);
connection.cork(() => connection.send('corked'));
const patience: WaitOptions = { signal: AbortSignal.timeout(1_000) };
is<void>()(await connection.flushed(patience));
is<void>()(await connection.sendStream(new Blob(['bytes'])));
is<void>()(await connection.sendStream(['some', 'text'], patience));
async function* chunks() {
  yield new Uint8Array(1);
}
is<void>()(await connection.sendStream(chunks()));
is<number>()(await connection.ping());
is<number>()(await connection.ping(new Uint8Array(4), patience));

// ----------------------------------------------------------------------------------------------- receiving

connection.onMessage = (message: Message) => {
  is<boolean>()(message.isText && message.isLastInRead);
  is<number>()(message.buffer.readInt32LE(message.byteOffset) + message.byteLength + message.receivedAt);
  is<Uint8Array>()(message.bytes);
  is<Buffer>()(message.copy());
  is<string>()(message.text());
  // @ts-expect-error: what it holds is not known
  message.json().price;
};
connection.onMessage = undefined;
connection.onPing = undefined;
connection.onPong = undefined;
connection.onDrain = undefined;
connection.onClose = undefined;
connection.pause();

for await (const message of connection) is<string | Buffer>()(message);
const source: MessageSource = ['one ', 'message'];
await connection.sendStream(source, patience);
const iterating: IterateOptions = { preventClose: true, ...patience };
const messages: MessageIterator = connection.iterate(iterating);
const next = await messages.next();
if (!next.done) is<string | Buffer>()(next.value);
await messages.return();
for await (const message of connection.readable) is<string | Buffer>()(message);
const writer = connection.writable.getWriter();
await writer.write(new Uint8Array(1));
const duplexOptions: DuplexOptions = { objectMode: true, text: false };
connection.toDuplex().pipe(process.stdout);
connection.toDuplex(duplexOptions).end();

// ------------------------------------------------------------------------------------------ closing, errors

{
  await using disposed = await connect('ws://127.0.0.1/');
  disposed.terminate();
}
const { code, reason, wasClean, error }: CloseInfo = await connection.close(1000, 'done');
is<CloseInfo>()(await connection.closed);
console.log(code.toFixed(), reason.trim(), wasClean === true, error?.closeCode?.toFixed());

function explain(thrown: unknown): string | undefined {
  if (thrown instanceof UsageError || thrown instanceof ConnectionLostError) return thrown.code.trim();
  if (thrown instanceof ProtocolError) return thrown.section.trim();
  if (thrown instanceof HandshakeError) {
    const { attempts, body, headers, retryAfter, statusCode } = thrown;
    console.log(attempts[0]?.error?.message, body?.byteLength, retryAfter?.toFixed(), statusCode?.toFixed());
    return headers?.['retry-after']?.trim();
  }
  return thrown instanceof HeartwireError ? thrown.message : String(thrown);
}
console.log(explain(error));

// --------------------------------------------------------------------------------------- the drop-in class

const finishRequest: FinishRequestCallback = (request, websocket) => {
  is<WebSocket>()(websocket);
  request.end();
};
const deflate: PerMessageDeflateOptions = { threshold: 1 };
const clientOptions: ClientOptions = { finishRequest, perMessageDeflate: deflate };
const webSocket: WebSocket = new DefaultWebSocket('ws://127.0.0.1/', clientOptions);
webSocket.on('message', (data, isBinary) => {
  is<RawData>()(data);
  is<boolean>()(isBinary);
});
webSocket.onmessage = ({ data }) => is<Data>()(data);
const closeArguments: WebSocketEvents['close'] = [1000, Buffer.alloc(0)];
const frameOptions: SendFrameOptions = { fin: false };
const payload: BufferLike = 'text';
webSocket.send(payload, frameOptions);
createWebSocketStream(webSocket).end(closeArguments[1]);
const standardSocket = new StandardWebSocket('ws://127.0.0.1/');
standardSocket.onclose = ({ code: closeCode }) => is<number>()(closeCode);
`;
