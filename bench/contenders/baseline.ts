/** Heartwire as it was at another commit, for `npm run bench:guard`, which builds it and says where. */
import type { Contender } from '../harness/contender.js';
import { openWith } from '../harness/heartwire-link.js';

const built = process.env.HEARTWIRE_BASELINE;

export const contender: Contender =
  built === undefined
    ? { subject: '', note: '', unsupported: 'only in bench:guard', load: '', open: Promise.reject }
    : {
        subject: `heartwire at ${process.env.HEARTWIRE_BASELINE_COMMIT}`,
        note: 'the commit to compare with',
        load: `await import('${built}')`,
        open: openWith((await import(built)).connect),
      };
