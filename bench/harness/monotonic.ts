/** The time in ms by a clock that all processes of the machine share: `performance.now()` begins anew in each. */
let offset = Number.NEGATIVE_INFINITY;
// The second clock is read a little later than the first, the first time by much: the least delay counts.
for (let attempt = 0; attempt < 100; attempt++) {
  const [seconds, nanoseconds] = process.hrtime();
  offset = Math.max(offset, seconds * 1e3 + nanoseconds / 1e6 - performance.now());
}

export function monotonic(): number {
  return offset + performance.now();
}
