/** The command line of `npm run bench --`. */
import { parseArgs } from 'node:util';
import { contenderNames, usualContenders } from './registry.js';

export interface Selection {
  /** Is this part of the suite asked for? */
  wanted(title: string): boolean;
  /** Undefined: whom each workload wants. */
  contenders: string[] | undefined;
  quick: boolean;
  /** Cases that take long, too. */
  long: boolean;
}

export const USAGE = `npm run bench -- [options]
  --only <text>[,<text>…]     what has one of these in its title, such as "receive binary 16 B tcp" or "micro mask"
  --contenders <name>[,…]     of ${contenderNames.join(', ')}, or all; by default all of them in
                              connect and import, and ${usualContenders.join(', ')} elsewhere
  --quick                     fewer and shorter rounds: to see that it works, not to quote
  --long                      with the cases that are left out to keep it short: a thousand compressed connections, …
  --help`;

export function selection(): Selection | undefined {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: '' },
      contenders: { type: 'string' },
      quick: { type: 'boolean', default: false },
      long: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return undefined;
  const contenders = values.contenders === 'all' ? contenderNames : values.contenders?.split(',');
  const unknown = (contenders ?? []).filter((name) => !contenderNames.includes(name));
  if (unknown.length > 0) throw new Error(`no contender named ${unknown.join(', ')}\n${USAGE}`);
  const parts = values.only.split(',');
  return {
    wanted: (title) => parts.some((part) => title.includes(part)),
    contenders,
    quick: values.quick,
    long: values.long,
  };
}
