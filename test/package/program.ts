/** A program that uses everything this package exports, to be compiled where it is installed; not to be run. */
export const PROGRAM = `
import {
  type ApplicationHeartbeat,
  type Acknowledgement,
  type Attempt,
  type AttemptOptions,
  type BackoffOptions,
  type Clock,
  type BufferLike,
  type ClientOptions,
  type CloseInfo,
  connect,
  Connection,
  type ConnectionAttempt,
  ConnectionBudget,
  type ConnectionHandlers,
  type ConnectionLimits,
  ConnectionLostError,
  type ConsumerOptions,
  type ConsumerStats,
  type Continuity,
  type ConnectionStats,
  type ConnectionTarget,
  type ConnectOptions,
  type CreateConnection,
  createWebSocketStream,
  type Data,
  type DeduplicationOptions,
  type DuplexOptions,
  type EventLoopLag,
  type Extension,
  type Fact,
  type Failure,
  type FailureKind,
  type FinishRequestCallback,
  type Gap,
  type GapBound,
  type GapReason,
  HandshakeError,
  type HandshakeReport,
  type HeartbeatOptions,
  type HeartbeatPayload,
  type HeartbeatStats,
  HeartbeatTimeoutError,
  type HeldLimits,
  type HeldMessage,
  HeartwireError,
  type IterateOptions,
  type Key,
  type LatenessSummary,
  type LegStats,
  Message,
  type MessageIterator,
  type MessagePattern,
  type MessageSource,
  type Payload,
  type PerMessageDeflateOptions,
  type MessageRate,
  PersistentConnection,
  type PersistentEnd,
  type PersistentEvents,
  type PersistentOptions,
  type PersistentSendOptions,
  type PersistentState,
  type PersistentStats,
  ProtocolError,
  type Rate,
  type RawData,
  ReadyState,
  type RecoverySession,
  type Redirect,
  RedundantConnection,
  type RedundantEnd,
  type RedundantEvents,
  type RedundantOptions,
  type RedundantStats,
  type RedundantSubscription,
  type RotationOptions,
  type RotationStep,
  type RttSummary,
  type SendFrameOptions,
  type SendOptions,
  type Silence,
  type SilenceCause,
  type SocketOptions,
  type StreamSendOptions,
  type SocketReport,
  type Resynced,
  type ResyncFailure,
  type ResyncOptions,
  type ResyncRequest,
  type RetryDecision,
  type Sequence,
  type SequenceFields,
  type SequenceMark,
  sequenceOf,
  type Subscription,
  type SubscriptionProtocol,
  type SubscriptionRequest,
  type SubscriptionState,
  type TlsOptions,
  type TlsReport,
  type Transition,
  type UnknownOutcome,
  UsageError,
  type VenueHeartbeat,
  venueHeartbeats,
  type Venue,
  venues,
  type WaitOptions,
  WebSocket,
  type WebSocketEvents,
  type WhenFull,
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
  onRtt: (roundTrip, connection) => is<number>()(roundTrip + connection.id),
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
const probes: SocketOptions = { keepAlive: { initialDelay: 5_000, interval: 2_000, count: 3 }, typeOfService: 16 };
const pong: MessagePattern = { text: 'pong' };
const isRequest: MessagePattern = { parts: ['"test_request"'], maxLength: 200 };
const isReply: MessagePattern = (message) => message.byteLength === 4;
const request: HeartbeatPayload = 'ping';
const application: ApplicationHeartbeat = { request: () => request, isReply: pong, deliver: false };
const asked: ApplicationHeartbeat = { request: new Uint8Array(1), isReply, isRequest, reply: (message) => message.text() };
const beats: readonly (false | HeartbeatOptions)[] = [
  false,
  {},
  { mode: 'always', interval: 1_000, timeout: { floor: 100, ceiling: 500 }, maxPause: 60_000, application },
  { mode: 'listen', timeout: 5_000 },
  { application: asked },
  venueHeartbeats.okx.heartbeat,
];
const venueBeats: readonly VenueHeartbeat[] = Object.values(venueHeartbeats);
console.log(venueBeats.map(({ date, note, rule, setup, source, venue, verified }) => [date, note, rule, setup, source, venue, verified]));
const tls: TlsOptions = { ca: ['pem'], servername: 'localhost', rejectUnauthorized: true };
const createConnection: CreateConnection = ({ host, port, secure, url }: ConnectionTarget) => {
  console.log(secure ? url.trim() : host.trim());
  return dial({ host, port });
};
const perMessageDeflate: PerMessageDeflateOptions = {
  serverNoContextTakeover: false,
  clientNoContextTakeover: true,
  serverMaxWindowBits: 12,
  clientMaxWindowBits: true,
  threshold: 512,
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
  heartbeat: beats[0] ?? false,
  tls,
  proxy: new URL('http://127.0.0.1:3128'),
  perMessageDeflate,
};
const others: readonly ConnectOptions[] = [{}, { protocols: 'a', proxy: 'env', socket: unkept }, { createConnection, perMessageDeflate: true }, { socket: probes }];
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
  statistics.pausedFor,
];
const beating: HeartbeatStats = statistics;
counters.push(beating.heartbeatsSent, beating.lastPongAt, beating.pongsLate, beating.pongsDuplicate);
counters.push(beating.pongsForeign, beating.pongsUnsolicited);
const rtt: RttSummary | undefined = beating.rtt;
if (rtt) counters.push(rtt.count, rtt.last, rtt.min, rtt.max, rtt.smoothed, rtt.deviation, rtt.p50, rtt.p90, rtt.p99, ...rtt.recent);
const lag: EventLoopLag | undefined = beating.eventLoopLag;
if (lag) counters.push(lag.longest, lag.last, lag.lastAt, lag.total);
const { keepAlive, noDelay, notApplied: missing, typeOfService }: SocketReport = connection.socketOptions;
console.log(keepAlive && keepAlive.interval + keepAlive.initialDelay * keepAlive.count, noDelay, typeOfService, missing);
console.log(counters);

// ------------------------------------------------------------------------------------------------- sending

const how: SendOptions = { binary: true, fin: false, compress: true };
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
const streamed: StreamSendOptions = { compress: false, ...patience };
is<void>()(await connection.sendStream(['some', 'text'], streamed));
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
connection.onRtt = undefined;
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
  if (thrown instanceof HeartbeatTimeoutError) {
    const known: Silence = thrown;
    const cause: SilenceCause = known.silence;
    console.log(known.lastReceivedAt + known.lastPongAt + known.stalledFor, known.rtt?.p50, known.eventLoopLag.total);
    return cause === 'link-dead' ? 'dead' : cause;
  }
  if (thrown instanceof ConnectionLostError) console.log(thrown.eventLoopLag?.longest);
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

// ---------------------------------------------------------------------------------------------- persistent

const keysOf = (requests: readonly SubscriptionRequest[]): string =>
  requests.map(({ key, params }) => key + String(params)).join();
const subscriptions: SubscriptionProtocol = {
  subscribe: (requests, id) => keysOf(requests) + id.toFixed(),
  unsubscribe: (requests) => Buffer.from(keysOf(requests)),
  acknowledgement(message): Acknowledgement | undefined {
    is<Message>()(message);
    return { id: 1, keys: ['a'], refused: 'no', retryAfter: 1 };
  },
  batchSize: 10,
  timeout: 1_000,
  retries: 2,
};
const attemptOptions: AttemptOptions = { headers: { A: 'b' }, tls };
const backoff: BackoffOptions = { base: 1, cap: 2 };
const rate: Rate = { limit: 10, per: 1_000, burst: 5 };
const messageRate: MessageRate = { ...rate, countsPings: true, countsPongs: true };
const queue: HeldLimits = { maxMessages: 1, maxBytes: 2, timeToLive: 3 };
const clock: Clock = { now: () => 0, after: () => () => {} };
const sequence: SequenceFields = { kind: 'previous', id: 'seqId', from: 'prevSeqId', per: 'channel', reset: 1 };
const fact: Fact<SequenceFields> = { value: sequence, source: 'me', date: '2026-01-01', verified: false };
const venue: Venue = { ...venues.okx, name: 'mine', sequence: fact };
const deduplication: DeduplicationOptions = { key: (message): Key => message.text(), maxKeys: 10 };
const rotation: RotationOptions = { maxAge: 1, jitter: 0, notice: (message) => message.isText, overlap: 1, drain: 1 };
const numbers: Sequence = sequenceOf({ ...sequence, within: ['data', '0'] }, (body) => body.type === 'snapshot');
const own: Sequence = {
  kind: 'range',
  read: (message): SequenceMark | undefined => (message.isText ? { id: 2, from: 1, reset: false } : undefined),
};
const resync: ResyncOptions = {
  async snapshot({ attempt, channel, gap, signal }: ResyncRequest) {
    is<Gap | undefined>()(gap);
    return signal.aborted ? undefined : attempt + channel.length;
  },
  timeout: 1,
  maxMessages: 2,
  maxBytes: 3,
};
const continuities: Continuity[] = [{}, { deadline: 1, sequence: numbers, resync }, { resync: 'resubscribe' }];
const persistentOptions: PersistentOptions = {
  deduplication,
  rotation,
  maxConnections: 2,
  continuity: (key, params) => (params === undefined ? continuities[key.length] : continuities[0]),
  connectionSequence: own,
  connect: async ({ epoch, url }: Attempt) => ({ ...attemptOptions, url: url + epoch.toFixed() }),
  onMessage(message, feed) {
    is<Message>()(message);
    is<PersistentConnection>()(feed);
  },
  async authenticate({ connection, epoch, reply, send, signal, url }: RecoverySession) {
    is<Connection>()(connection);
    const answer = reply((message) => (message.isText ? epoch : undefined));
    await send(url + String(signal.aborted));
    is<number>()(await answer);
  },
  authenticationTimeout: 1,
  subscriptions,
  channelOf: (message) => message.text(),
  acknowledges: () => undefined,
  messageRate,
  connectionBudget: { ...rate, key: 'venue' },
  venue,
  backoff,
  stableAfter: 1,
  maxAttempts: 2,
  retry(failure: Failure, decision: RetryDecision) {
    const kind: FailureKind = failure.kind;
    console.log(kind.trim(), failure.close?.code.toFixed(), failure.error?.message, failure.attempts.toFixed());
    return { ...decision, delay: decision.delay * 2, retry: decision.holdOff < 1 };
  },
  queue,
  maxUnacknowledged: 3,
  signal: AbortSignal.timeout(1_000),
  clock,
  random: () => 0.5,
};
const feed = new PersistentConnection(['wss://a.test/', new URL('wss://b.test/')], persistentOptions);
new PersistentConnection('wss://a.test/', { connectionBudget: new ConnectionBudget(rate) });
new PersistentConnection('wss://a.test/', { connectionBudget: false });
feed.on('state', ({ at, delay, epoch, failure, from, to }: Transition) => {
  const states: PersistentState[] = [from, to];
  console.log(states, at + epoch, delay?.toFixed(), failure?.kind.trim());
});
feed.on('unknown-outcome', ({ key, sentAt }: UnknownOutcome) => console.log(key.trim(), sentAt.toFixed()));
feed.on('gap', ({ after, before, channel, epoch, failure, missed, reason }: Gap) => {
  is<GapReason>()(reason);
  is<GapBound | undefined>()(before);
  console.log(after?.id?.toFixed(), after?.at.toFixed(), channel?.trim(), epoch.toFixed(), failure?.kind, missed?.toFixed());
});
feed.on('stale', ({ action, deadline, key, lastDataAt, silence }: PersistentEvents['stale']) =>
  console.log(action.trim(), deadline.toFixed(), key.trim(), lastDataAt?.toFixed(), silence.toFixed()),
);
feed.on('live', ({ key, silence }: PersistentEvents['live']) => console.log(key.trim(), silence.toFixed()));
feed.on('resynced', (event) => is<Resynced>()(event));
feed.on('resync-failed', (event) => is<ResyncFailure>()(event));
feed.on('dropped', ({ message }: PersistentEvents['dropped']) => is<HeldMessage>()(message));
// @ts-expect-error: there is no such event
feed.on('message', () => {});
is<void>()(await feed.ready);
const sendOptions: PersistentSendOptions = { binary: true, whenDown: 'queue', timeToLive: 1, key: 'order' };
is<boolean>()(feed.send('order', sendOptions) && feed.acknowledge('order'));
console.log(feed.unacknowledged.map((key) => key.trim()), feed.desired.map((key) => key.trim()));
const subscription: Subscription = feed.subscribe('trades', { depth: 10 });
const subscriptionState: SubscriptionState = subscription.state;
is<void>()(await subscription.acknowledged);
console.log(subscriptionState, subscription.key.trim());
subscription.unsubscribe();
is<number | undefined>()(subscription.lastDataAt);
const whenFull: WhenFull = 'conflate';
const manners: ConsumerOptions = { whenFull, conflateBy: (message) => message.byteLength, maxMessages: 1, maxBytes: 2 };
void feed.messages('quotes', { ...manners, subscribe: false });
is<readonly ConsumerStats[]>()(feed.stats().consumers);
for await (const message of feed.messages('trades', patience)) is<string | Buffer>()(message);
const counted: PersistentStats = feed.stats();
console.log(counted.queued + counted.subscribed + counted.desired + counted.failures + counted.unacknowledged);
console.log(counted.stale + counted.gaps + counted.late + counted.held);
feed.pause();
feed.resume();
feed.reconnect('why not');
feed.on('rotation', ({ delay, error, from, reason, step, to }: RotationStep) => {
  console.log(delay?.toFixed(), error?.code, from.toFixed(), reason.trim(), step.trim(), to?.toFixed());
});
is<void>()(await feed.rotate('to be sure'));
is<Connection | undefined>()(feed.connection);
const end: PersistentEnd = await feed.close(1000, 'done');
console.log(end.error?.code.trim(), end.close?.code.toFixed(), feed.state, feed.epoch.toFixed());
const redundantOptions: RedundantOptions = {
  deduplication,
  onMessage: (message, both) => console.log(message.text(), both.isReady),
  leg: (index) => ({ connect: { headers: { A: index.toFixed() } } }),
  maxHold: 100,
};
const both = new RedundantConnection(['wss://a.test/', 'wss://b.test/'], redundantOptions);
both.on('ready', ({ leg }: RedundantEvents['ready']) => console.log(leg.toFixed()));
both.on('failure', ({ failure, leg }) => console.log(failure.kind, leg.toFixed()));
is<void>()(await both.ready);
is<boolean>()(both.send('order', { key: 'order' }) && both.acknowledge('order'));
const wish: RedundantSubscription = both.subscribe('trades', { depth: 10 });
is<void>()(await wish.acknowledged);
wish.unsubscribe();
for await (const message of both.messages('trades', patience)) is<string | Buffer>()(message);
const together: RedundantStats = both.stats();
for (const leg of together.legs) {
  const { first, lag: behind, late, lead }: LegStats = leg;
  const summaries: LatenessSummary[] = [behind, lead];
  console.log(first + late, summaries.map(({ count, last, max, mean }) => count + last + max + mean));
}
console.log(together.held + together.leftOut);
is<readonly PersistentConnection[]>()(both.legs);
both.pause();
both.resume();
const endOfBoth: RedundantEnd = await both.close();
console.log(endOfBoth.legs.map(({ error }) => error?.code));
{
  await using disposed = new PersistentConnection('wss://a.test/');
  is<PersistentEnd>()(await disposed.closed);
}

// --------------------------------------------------------------------------------------- the drop-in class

const finishRequest: FinishRequestCallback = (request, websocket) => {
  is<WebSocket>()(websocket);
  request.end();
};
const deflate: WebSocket.PerMessageDeflateOptions = { threshold: 1 };
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
