/** The codec's operations against their JavaScript and native counterparts, by benny, in a process of its own. */
import { add, configure, cycle, suite as run } from 'benny';
import { answer } from '../harness/answer.js';
import { suites as deflate } from './deflate.js';
import { suites as header } from './header.js';
import { suites as inflate } from './inflate.js';
import { suites as mask } from './mask.js';
import type { MicroSuite } from './suite.js';
import { suites as utf8 } from './utf8.js';

const suites: MicroSuite[] = [...header, ...mask, ...utf8, ...inflate, ...deflate];

export interface MicroRow {
  suite: string;
  way: string;
  /** Median time of one frame or payload. */
  nanoseconds: number;
  /** Relative margin of error in percent, as benny gives it. */
  margin: number;
  /** The time of one frame or payload in each of benny's samples, in nanoseconds. */
  samples: number[];
}

export type MicroCalls = {
  names(long: boolean): string[];
  measure(argument: { name: string; quick: boolean }): Promise<MicroRow[]>;
};

answer<MicroCalls>({
  names: (all) => suites.filter(({ long }) => all || !long).map(({ name }) => name),

  async measure({ name, quick }) {
    const { ways, perCall, verify } = suites.find((candidate) => candidate.name === name)!;
    verify();
    const rows: MicroRow[] = [];
    const seconds = quick ? 0.1 : 0.3;
    await run(
      name,
      ...Object.entries(ways).map(([way, operation]) => add(way, operation)),
      configure({ cases: { minSamples: 5, minTime: seconds / 20, maxTime: seconds } }),
      cycle(({ name: way, margin, details }) => {
        const samples = details.sampleResults.map((perCallSeconds) => (perCallSeconds * 1e9) / perCall);
        rows.push({ suite: name, way, nanoseconds: (details.median * 1e9) / perCall, margin, samples });
      }),
    );
    return rows;
  },
});
