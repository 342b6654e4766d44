/** The time in ms by a clock that all processes of the machine share: `performance.now()` begins anew in each. */
const [seconds, nanoseconds] = process.hrtime();
const offset = seconds * 1e3 + nanoseconds / 1e6 - performance.now();

export function monotonic(): number {
  return offset + performance.now();
}
