/**
 * `Retry-After` (RFC 9110 §10.2.3): a number of seconds, or one of the three forms of an HTTP-date (§5.6.7),
 * read strictly: `Date.parse` takes almost anything for a date, and a wrong delay is worse than none.
 */

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const DAY = '(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)';
const LONG_DAY = '(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)';
const MONTH = `(?<month>${MONTHS.join('|')})`;
const TIME = '(?<hour>[01]\\d|2[0-3]):(?<minute>[0-5]\\d):(?<second>[0-5]\\d|60)';

const HTTP_DATES = [
  // IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
  new RegExp(`^${DAY}, (?<day>\\d\\d) ${MONTH} (?<year>\\d{4}) ${TIME} GMT$`),
  // rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT
  new RegExp(`^${LONG_DAY}, (?<day>\\d\\d)-${MONTH}-(?<year>\\d\\d) ${TIME} GMT$`),
  // asctime-date: Sun Nov  6 08:49:37 1994
  new RegExp(`^${DAY} ${MONTH} (?<day>\\d\\d| \\d) ${TIME} (?<year>\\d{4})$`),
];

/** The delay in ms from `now`, 0 for a date that has passed; undefined when there is none to be read. */
export function retryAfter(value: string | undefined, now: number): number | undefined {
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1000, Number.MAX_SAFE_INTEGER);
  const date = httpDate(value, now);
  return date === undefined ? undefined : Math.max(0, date - now);
}

function httpDate(value: string, now: number): number | undefined {
  for (const form of HTTP_DATES) {
    const parts = form.exec(value)?.groups;
    if (parts === undefined) continue;
    const year = parts.year.length === 2 ? fullYear(Number(parts.year), now) : Number(parts.year);
    const day = Number(parts.day);
    const date = new Date(0);
    // Not Date.UTC: it takes the years 0 to 99 for 1900 to 1999.
    date.setUTCFullYear(year, MONTHS.indexOf(parts.month), day);
    // 31 February would have become a day of March.
    if (date.getUTCDate() !== day) return undefined;
    return date.setUTCHours(Number(parts.hour), Number(parts.minute), Number(parts.second));
  }
  return undefined;
}

/** RFC 9110 §5.6.7: a two-digit year is never more than 50 years ahead, so it is one of the 100 up to there. */
function fullYear(twoDigits: number, now: number): number {
  const first = new Date(now).getUTCFullYear() - 49;
  return first + ((((twoDigits - first) % 100) + 100) % 100);
}
