/** Whole scenarios for a receiver: what arrives, in which pieces, by which way, within which limit. */
import fc from 'fast-check';
import type { Flow, Scenario } from '../reference/differential.js';
import { faultyStream, randomCuts, type Split, split, validStream, type WireStream } from './wire.js';

/** No limit that matters, limits of small numbers, and the lengths at which headers change. */
const maxMessageSize = fc.oneof(
  { withCrossShrink: true },
  { weight: 4, arbitrary: fc.constant(2 ** 26) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, 2, 16, 124, 125, 126, 127, 65_535, 65_536) },
  { weight: 1, arbitrary: fc.nat(300) },
);

/** Large streams are not read byte by byte here: a test of its own does that. */
const inPieces: fc.Arbitrary<Split> = fc.oneof(fc.constant<Split>('all at once'), randomCuts);

export function scenario({ large = false, maxActs = 6 } = {}): fc.Arbitrary<Scenario> {
  const stream: fc.Arbitrary<WireStream> = fc.oneof(
    { withCrossShrink: true },
    { weight: 1, arbitrary: validStream({ large, maxActs }).map((valid) => valid as WireStream) },
    { weight: 2, arbitrary: faultyStream({ large, maxActs }) },
  );
  return fc.record({
    stream,
    how: large ? inPieces : split,
    maxMessageSize,
    way: fc.constantFrom('read' as const, 'read' as const, 'feed' as const),
    slabs: fc.constantFrom('free' as const, 'free' as const, 'taken' as const),
  });
}

export const flow: fc.Arbitrary<Flow> = fc.record({
  listenAfter: fc.oneof(fc.constant(0), fc.nat(6)),
  pauseAt: fc.array(fc.boolean(), { maxLength: 5 }),
  after: fc.array(
    fc.constantFrom(
      'nothing' as const,
      'resume' as const,
      'turn' as const,
      'resume and turn' as const,
      'pause' as const,
    ),
    { maxLength: 6 },
  ),
});
