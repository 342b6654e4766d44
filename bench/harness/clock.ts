/** A clock that all processes of the machine share, in µs: messages carry its time from the server to the client. */
export function microseconds(): number {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + Math.floor(nanoseconds / 1000);
}
