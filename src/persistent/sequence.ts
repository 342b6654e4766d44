/**
 * How the messages of a stream are numbered, and what a number says about those before it: that it is the next one,
 * that some are missing, or that it has been here before. What the numbers are is the venue's, and read by a function
 * of the application's or by one made from the venue table.
 */

import type { Message } from '../protocol/message.js';
import type { SequenceFields } from './venues.js';

/** The numbers of one message. */
export interface SequenceMark {
  /** Its id; of a range, the last. */
  readonly id: number;
  /** `previous`: the id of the message before it. */
  readonly previous?: number;
  /** `range`: its first id. */
  readonly from?: number;
  /** The stream begins anew with this message: a snapshot, or a venue that has restarted. Never a gap. */
  readonly reset?: boolean;
}

export interface Sequence {
  /** `contiguous`: each id is one more. `previous`: each names the one before. `range`: from one id to another. */
  readonly kind: SequenceFields['kind'];
  /** The numbers of a message; undefined for one that has none. Called for every message of the channel. */
  read(message: Message): SequenceMark | undefined;
}

/**
 * The numbers as a venue's table entry describes them, read from JSON. An id before of -1, or none, begins anew.
 *
 * @param isReset tells by the object with the numbers, the whole message, or both, that a message is a snapshot
 */
export function sequenceOf(
  fields: SequenceFields,
  isReset?: (numbers: Record<string, unknown>, message: Record<string, unknown>) => boolean,
): Sequence {
  const { kind, id: idField, from: fromField = '', reset, within = [] } = fields;
  return {
    kind,
    read(message) {
      const whole = message.json() as Record<string, unknown>;
      let numbers: Record<string, unknown> | undefined = whole;
      for (const name of within) numbers = numbers?.[name] as Record<string, unknown> | undefined;
      const id = integer(numbers?.[idField]);
      if (id === undefined) return undefined;
      const before = integer(numbers![fromField]);
      const unlinked = kind === 'previous' && (before === undefined || before === -1);
      return {
        id,
        ...(kind === 'previous' ? { previous: before } : kind === 'range' && { from: before }),
        reset: unlinked || id === reset || isReset?.(numbers!, whole) === true,
      };
    },
  };
}

/** Venues write large ids as strings. */
function integer(value: unknown): number | undefined {
  const number = typeof value === 'string' && value !== '' ? Number(value) : value;
  return Number.isSafeInteger(number) ? (number as number) : undefined;
}

export type Verdict =
  /** There was none before it. */
  | 'first'
  | 'next'
  | 'gap'
  /** It, or one after it, has been here. */
  | 'late'
  | 'reset'
  /** So many late ones in a row are a stream that began anew without saying so. */
  | 'restart';

/**
 * Late messages in a row, each after the other, that are no repetition any more. After an interruption some venues
 * tell their latest history first.
 */
const RESTART_AFTER = 16;
const RESTART_AFTER_INTERRUPTION = 1_000;

/** What the numbers of one stream have come to. */
export class SequenceTracker {
  readonly #kind: Sequence['kind'];
  #last: number | undefined;
  /** The id that came last, whatever it was worth. */
  #position = Number.NEGATIVE_INFINITY;
  /** Late messages since the ids went back. */
  #late = 0;

  constructor(kind: Sequence['kind']) {
    this.#kind = kind;
  }

  /** The id of the last message that was not late; undefined: none was. */
  get last(): number | undefined {
    return this.#last;
  }

  /** From here it goes on: a snapshot. undefined: anywhere. */
  begin(last: number | undefined): void {
    this.#last = last;
    this.#late = 0;
  }

  /** How many are missing between the last message and this one; undefined: the numbers do not tell. */
  missing({ id, from = id, previous }: SequenceMark): number | undefined {
    if (this.#last === undefined) return undefined;
    if (this.#kind === 'previous') return previous! <= this.#last ? 0 : undefined;
    return Math.max(0, from - this.#last - 1);
  }

  /** A snapshot, or what was delivered, holds it already. */
  isLate(mark: SequenceMark): boolean {
    return this.#compare(mark) === 'late';
  }

  /** Takes it for the last one, unless it is late. `interrupted`: the first in-order one since is awaited. */
  judge(mark: SequenceMark, interrupted = false): Verdict {
    const verdict = this.#compare(mark);
    if (verdict === 'late') {
      // Going on below the last one, the stream has yet to come to where a snapshot was ahead of it.
      const goesOn = mark.id > this.#position;
      this.#position = mark.id;
      if (!goesOn) this.#late = 1;
      else if (this.#late > 0) this.#late++;
      if (this.#late < (interrupted ? RESTART_AFTER_INTERRUPTION : RESTART_AFTER)) return 'late';
    }
    this.#position = mark.id;
    this.begin(mark.id);
    return verdict === 'late' ? 'restart' : verdict;
  }

  #compare({ id, from = id, previous, reset }: SequenceMark): Verdict {
    const last = this.#last;
    if (reset) return 'reset';
    if (last === undefined) return 'first';
    if (this.#kind === 'previous') {
      // A link holds whatever the ids do: venues that restart keep it, with a smaller id.
      if (previous === last) return 'next';
      if (previous! > last) return 'gap';
    } else if (from > last + 1) {
      return 'gap';
    }
    return id > last ? 'next' : 'late';
  }
}
