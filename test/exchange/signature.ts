/** Logins as venues have them: a time, signed with a secret, that is valid for some seconds. */
import { createHmac, timingSafeEqual } from 'node:crypto';

const SECRET = 'of this test only';

export function sign(key: string, time: number): string {
  return createHmac('sha256', SECRET).update(`${key}:${time}`).digest('hex');
}

export function isSigned(key: unknown, time: unknown, signature: unknown): boolean {
  if (typeof key !== 'string' || typeof time !== 'number' || typeof signature !== 'string') return false;
  const wanted = Buffer.from(sign(key, time));
  const given = Buffer.from(signature);
  return wanted.length === given.length && timingSafeEqual(wanted, given);
}
