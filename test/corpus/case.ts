/**
 * Cases on which two readers disagreed once, kept as the bytes that showed it: `npm run fuzz` writes them here, and
 * corpus.test.ts replays every one.
 */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { cutUp } from '../arbitraries/wire.js';
import {
  type Compression,
  compare,
  compareInTurns,
  compareWithPauses,
  type Flow,
  type Scenario,
  type Slabs,
  type Way,
} from '../reference/differential.js';
import { compareWithNode } from '../reference/response-differential.js';

/** What one connection is sent, in hex, piece by piece, and within which limits it reads that. */
interface Stream {
  pieces: readonly string[];
  maxMessageSize: number;
  way: Way;
  slabs: Slabs;
  compression?: Compression;
}

export type Case = { note: string } & (
  | { kind: 'frames'; stream: Stream; flow?: Flow }
  | { kind: 'frames in turns'; streams: readonly Stream[] }
  | { kind: 'answer'; pieces: readonly string[] }
);

const folder = fileURLToPath(new URL('.', import.meta.url));

export function streamOf(scenario: Scenario): Stream {
  const { stream, how, ...rest } = scenario;
  return { pieces: hex(cutUp(stream, how)), ...rest };
}

export const hex = (pieces: readonly Buffer[]): string[] => pieces.map((piece) => piece.toString('hex'));

/** The same pieces again. */
function scenarioOf({ pieces, ...rest }: Stream): Scenario {
  const bytes = Buffer.from(pieces.join(''), 'hex');
  const ends = pieces.map((_, i) => pieces.slice(0, i + 1).join('').length / 2);
  const how = ends.slice(0, -1).map((offset) => ({ frame: undefined, offset }));
  return { stream: { bytes, frameStarts: [] }, how, ...rest };
}

/** Rejects, as the fuzzer's comparison did, when the readers disagree. */
export async function replay(kept: Case): Promise<void> {
  if (kept.kind === 'answer') return compareWithNode(kept.pieces.map((piece) => Buffer.from(piece, 'hex')));
  if (kept.kind === 'frames in turns') return compareInTurns(kept.streams.map(scenarioOf));
  const scenario = scenarioOf(kept.stream);
  if (kept.flow === undefined) compare(scenario);
  else await compareWithPauses(scenario, kept.flow);
}

export function corpus(): { name: string; kept: Case }[] {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json'));
  return names
    .sort()
    .map((name) => ({ name, kept: JSON.parse(readFileSync(folder + name, 'utf8'), revive) }));
}

/** A Buffer is written as `{ type: 'Buffer', data: […] }`. */
function revive(_: string, value: unknown): unknown {
  const isBuffer = typeof value === 'object' && value !== null && 'type' in value && value.type === 'Buffer';
  return isBuffer ? Buffer.from(value as unknown as { data: number[] } & Buffer) : value;
}

/** Writes a case down. Returns the path, for people. */
export function keep(found: Case): string {
  const text = `${JSON.stringify(found, undefined, 2)}\n`;
  const digest = createHash('sha1').update(text).digest('hex').slice(0, 8);
  const path = `test/corpus/${found.kind.replaceAll(' ', '-')}-${digest}.json`;
  writeFileSync(`${folder}${path.slice('test/corpus/'.length)}`, text);
  return path;
}
