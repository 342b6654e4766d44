/**
 * Our receiver beside the reference: the same bytes into both, in pieces into ours, and what they tell compared.
 *
 * Ours is driven as a socket drives it: the place of the next read is asked for when the one before is done, and
 * other connections use the shared scratch, frame table and registers in between, here with bytes that would show.
 */
import assert from 'node:assert/strict';
import { setImmediate } from 'node:timers/promises';
import { constants, deflateRawSync } from 'node:zlib';
import { Codec } from '../../src/codec/codec.js';
import { InflateError, Inflater } from '../../src/codec/inflater.js';
import { Assembly } from '../../src/protocol/assembly.js';
import { LARGE_MESSAGE } from '../../src/protocol/message-in-pieces.js';
import { Receiver, type ReceiverEvents } from '../../src/protocol/receiver.js';
import { cutUp, type Split, type WireStream } from '../arbitraries/wire.js';
import { type Event, receive } from './receiver.js';

/** The ways in: reads into our memory, or bytes that landed elsewhere. */
export type Way = 'read' | 'feed';

/** Whether incomplete frames find a slab, or must do without. */
export type Slabs = 'free' | 'taken';

export interface Scenario {
  stream: WireStream;
  how: Split;
  maxMessageSize: number;
  way: Way;
  slabs: Slabs;
  /** permessage-deflate has been negotiated, and the stream keeps all rules. */
  compression?: Compression;
}

/** What the server does (RFC 7692 §7.1), and what its bytes mean: each event when the bytes up to `end` are there. */
export interface Compression {
  takeover: boolean;
  windowBits: number;
  told: readonly { end: number; event: Event }[];
}

const codecs: Record<Slabs, Codec> = { free: new Codec(), taken: new Codec() };
while (codecs.taken.slabs.take() !== 0);

/** Another connection's compressed message, which takes tables and workspace of the inflater into use. */
const SOMETHING_ELSE = deflateRawSync(
  '{"prices":[1,2,3],"names":["a","b"],"more":"jklmnopqrstuvw"}'.repeat(9),
  {
    finishFlush: constants.Z_SYNC_FLUSH,
  },
).subarray(0, -4);
const neighbours: Record<Slabs, Inflater> = { free: neighbour(codecs.free), taken: neighbour(codecs.taken) };

function neighbour(codec: Codec): Inflater {
  const options = { takeover: false, windowBits: 15, maxMessageSize: 1_000 };
  return new Inflater(codec, codec.windows.take(), options, new Assembly());
}

/** What is reported is copied at once: payloads are views, valid during the call. */
const EVENTS: ReceiverEvents<Observed> = {
  answerPing: ({ answeredPings }, payload) => {
    answeredPings.push(Buffer.from(payload));
  },
  onPing: ({ events }, payload) => {
    events.push({ type: 'ping', data: Buffer.from(payload) });
  },
  onPong: ({ events }, payload) => {
    events.push({ type: 'pong', data: Buffer.from(payload) });
  },
  onClose: ({ events }, { code, reason }) => {
    events.push({ type: 'close', code, reason });
  },
  onError: ({ events }, { code, closeCode = 0 }) => {
    events.push({ type: 'error', code, closeCode });
  },
  onBlocked: () => {},
  onCaughtUp: () => {},
};

/** The same memory, not a copy. */
const asBuffer = ({ buffer, byteOffset, length }: Uint8Array): Buffer =>
  Buffer.from(buffer as ArrayBuffer, byteOffset, length);

/** One receiver of ours, and all that it reports. */
export class Observed {
  readonly events: Event[] = [];
  readonly answeredPings: Buffer[] = [];
  readonly receiver: Receiver<Observed>;
  /** What `isLastInRead` said of each message of the read under way. */
  lastInRead: boolean[] = [];
  /** Called within the listener, after each message. */
  onEachMessage: (index: number) => void = () => {};
  readonly #codec: Codec;
  readonly #neighbour: Inflater | undefined;
  #messages = 0;
  #target: Buffer;

  constructor(
    codec: Codec,
    { maxMessageSize, compression }: Pick<Scenario, 'maxMessageSize' | 'compression'>,
  ) {
    this.#codec = codec;
    const inflation = compression && { ...compression, window: codec.windows.take() };
    this.receiver = new Receiver<Observed>(codec, this, EVENTS, { maxMessageSize }, undefined, inflation);
    if (compression !== undefined) this.#neighbour = neighbours[codec === codecs.free ? 'free' : 'taken'];
    this.#target = this.receiver.readTarget();
  }

  listen(): void {
    this.receiver.listen((message, owner) => {
      assert.equal(owner, this);
      const { isText, byteLength, byteOffset, buffer, isLastInRead } = message;
      const inPlace = Buffer.from(buffer.subarray(byteOffset, byteOffset + byteLength));
      if (isText) assert.equal(message.text(), inPlace.toString('utf8'));
      // Taken for keeps, looked at, or left alone: what becomes of the memory differs.
      const data = [
        () => message.copy(),
        () => (byteLength > LARGE_MESSAGE ? asBuffer(message.bytes) : Buffer.from(message.bytes)),
        () => inPlace,
      ][this.#messages % 3]();
      this.events.push({ type: 'message', isText, data });
      this.lastInRead.push(isLastInRead);
      this.onEachMessage(this.#messages++);
    });
  }

  /** These bytes arrive, in as many reads as the places for them need. */
  arrive(piece: Buffer, way: Way): void {
    if (way === 'feed') {
      this.receiver.feed(piece, 1);
      this.#disturb(piece.length);
      return;
    }
    for (let at = 0; at < piece.length; ) {
      const count = piece.copy(this.#target, 0, at);
      this.lastInRead = [];
      this.receiver.received(count, 1);
      this.#target = this.receiver.readTarget();
      this.#checkLastInRead();
      this.#disturb(count);
      at += count;
    }
  }

  /** Only the last message of a read says that it is the last; after the end nobody asks. */
  #checkLastInRead(): void {
    const ended = ['close', 'error'].includes(this.events.at(-1)?.type ?? '');
    if (this.receiver.paused || ended) return;
    assert.deepEqual(
      this.lastInRead,
      this.lastInRead.map((_, i) => i === this.lastInRead.length - 1),
      'isLastInRead of the messages of one read',
    );
  }

  /** Other connections read meanwhile: what is shared belongs to them (lease rules 2 and 4). */
  #disturb(size: number): void {
    const { memory, scratch } = this.#codec;
    scratch.fill(0x83, 0, Math.min(size + 300, scratch.length));
    memory.fill(0x83, scratch.byteOffset - 300, scratch.byteOffset);
    this.#codec.frameTable.fill(-1, 0, 64);
    this.#codec.registers.fill(-1);
    if (this.#neighbour === undefined) return;
    SOMETHING_ELSE.copy(scratch);
    const start = scratch.byteOffset;
    assert.equal(this.#neighbour.inflate(start, start + SOMETHING_ELSE.length, true), InflateError.none);
  }
}

function expectedEvents({ stream, maxMessageSize, compression }: Scenario, arrived: number): Event[] {
  if (compression === undefined) return receive(stream.bytes.subarray(0, arrived), { maxMessageSize });
  return compression.told.filter(({ end }) => end <= arrived).map(({ event }) => event);
}

/** What both should tell, as far as the bytes go. */
function expectSame(observed: Observed, scenario: Scenario, arrived = scenario.stream.bytes.length): void {
  const expected = expectedEvents(scenario, arrived);
  assert.deepEqual(observed.events, expected);
  const ended = ['close', 'error'].includes(expected.at(-1)?.type ?? '');
  if (ended) assert.equal(observed.receiver.heldBytes, 0, 'bytes kept after the end');
  // §5.5.2: every Ping is answered, and nothing else, however its bytes arrived.
  const pings = expected.flatMap((event) => (event.type === 'ping' ? [event.data] : []));
  assert.deepEqual(observed.answeredPings, pings, 'pings answered');
}

/** The whole scenario; for short streams what is told is compared after every piece as well. */
export function compare(scenario: Scenario): void {
  const { stream, how, way, slabs } = scenario;
  const codec = codecs[slabs];
  const { available } = codec.slabs;
  const observed = new Observed(codec, scenario);
  observed.listen();
  let arrived = 0;
  for (const piece of cutUp(stream, how)) {
    observed.arrive(piece, way);
    arrived += piece.length;
    if (stream.bytes.length < 300) expectSame(observed, scenario, arrived);
  }
  expectSame(observed, scenario);
  observed.receiver.stop();
  assert.equal(codec.slabs.available, available, 'slabs given back');
}

/** What the application does while the bytes arrive: one entry for a message or a piece, then from the start again. */
export interface Flow {
  /** Pieces that arrive before anybody listens. */
  listenAfter: number;
  /** Whether the listener pauses at a message. */
  pauseAt: readonly boolean[];
  /** What happens after a piece. */
  after: readonly ('nothing' | 'resume' | 'turn' | 'resume and turn' | 'pause')[];
}

/** The same bytes and the same result, with delivery paused and resumed on the way. */
export async function compareWithPauses(scenario: Scenario, flow: Flow): Promise<void> {
  const { stream, how, way, slabs } = scenario;
  const codec = codecs[slabs];
  const { available } = codec.slabs;
  const observed = new Observed(codec, scenario);
  const { receiver } = observed;
  observed.onEachMessage = (index) => {
    assert.ok(!receiver.paused, 'nothing is delivered while paused');
    if (flow.pauseAt.length > 0 && flow.pauseAt[index % flow.pauseAt.length]) receiver.pause();
  };
  for (const [i, piece] of cutUp(stream, how).entries()) {
    if (i === flow.listenAfter) observed.listen();
    observed.arrive(piece, way);
    const next = flow.after.length > 0 ? flow.after[i % flow.after.length] : 'nothing';
    if (next === 'pause') receiver.pause();
    if (next.startsWith('resume')) receiver.resume();
    if (next.endsWith('turn')) await setImmediate();
  }
  observed.listen();
  // Each turn delivers at least up to the next message that pauses.
  do {
    receiver.resume();
    await setImmediate();
  } while (receiver.paused);
  expectSame(observed, scenario);
  receiver.stop();
  assert.equal(codec.slabs.available, available, 'slabs given back');
}

/** The application stops the receiver within the listener, at that message: nothing more is told, or kept. */
export function compareStopped(scenario: Scenario, last: number): void {
  const { stream, how, way, slabs } = scenario;
  const codec = codecs[slabs];
  const { available } = codec.slabs;
  const observed = new Observed(codec, scenario);
  observed.onEachMessage = (index) => {
    if (index !== last) return;
    observed.receiver.stop();
    // Of a message behind which others stand in the same read, `isLastInRead` is false: they are not delivered.
    observed.lastInRead = [];
  };
  observed.listen();
  for (const piece of cutUp(stream, how)) observed.arrive(piece, way);
  const events = expectedEvents(scenario, stream.bytes.length);
  const messages = events.flatMap(({ type }, i) => (type === 'message' ? [i] : []));
  const stopped = last < messages.length;
  assert.deepEqual(observed.events, stopped ? events.slice(0, messages[last] + 1) : events);
  if (stopped) assert.equal(observed.receiver.heldBytes, 0, 'bytes kept after the end');
  observed.receiver.stop();
  assert.equal(codec.slabs.available, available, 'slabs given back');
}

/** Several connections of one thread: their pieces arrive in turns. */
export function compareInTurns(scenarios: readonly Scenario[]): void {
  const codec = codecs.free;
  const { available } = codec.slabs;
  const connections = scenarios.map((scenario) => {
    const observed = new Observed(codec, scenario);
    observed.listen();
    return { scenario, observed, pieces: cutUp(scenario.stream, scenario.how) };
  });
  while (connections.some(({ pieces }) => pieces.length > 0)) {
    for (const { observed, pieces, scenario } of connections) {
      const piece = pieces.shift();
      if (piece !== undefined) observed.arrive(piece, scenario.way);
    }
  }
  for (const { scenario, observed } of connections) {
    expectSame(observed, scenario);
    observed.receiver.stop();
  }
  assert.equal(codec.slabs.available, available, 'slabs given back');
}
