/** The command line of `npm run bench --`. */
import { parseArgs } from 'node:util';
import { contenderNames, usualContenders } from './registry.js';

export interface Selection {
  /** Is this part of the suite asked for? Of those that take long only what is named, unless all is. */
  wanted(title: string, long?: boolean): boolean;
  /** Undefined: whom each workload wants. */
  contenders: string[] | undefined;
  quick: boolean;
  /** Every case, and everybody in it. */
  full: boolean;
  /** Where the samples go, besides bench/results/. */
  json: string | undefined;
}

export const USAGE = `npm run bench -- [options]
  --only <text>[,<text>…]     what has one of these in its title, such as "receive binary 16 B tcp" or "micro mask"
  --contenders <name>[,…]     of ${contenderNames.join(', ')}, or all; by default all of them in
                              connect and import, and ${usualContenders.join(', ')} elsewhere
  --full                      every case with all contenders: npm run bench:full
  --json <file>               where to write all samples
  --quick                     fewer and shorter rounds: to see that it works, not to quote
  --help`;

export function selection(): Selection | undefined {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      contenders: { type: 'string' },
      json: { type: 'string' },
      full: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const contenders = values.contenders === 'all' ? contenderNames : values.contenders?.split(',');
  const unknown = (contenders ?? []).filter((name) => !contenderNames.includes(name));
  if (unknown.length > 0) throw new Error(`no contender named ${unknown.join(', ')}\n${USAGE}`);
  const { quick, full, json } = values;
  const parts = values.only.split(',').filter((part) => part !== '');
  const wanted = (title: string, long = false): boolean =>
    parts.length > 0 ? parts.some((part) => title.includes(part)) : full || !long;
  return { wanted, contenders, quick, full, json };
}
