/** Why a link has fallen silent, as far as anybody here can know. */

import type { SilenceCause } from './report.js';
import type { TcpQueue } from './tcp-queue.js';

/** What the kernel says against a verdict, or for it. `behind`: the Ping is on its way, with much in front of it. */
export const Evidence = { silent: 0, dead: 1, unread: 2, underWay: 3, behind: 4 } as const;

/** As many bytes leave at once, whatever the link is like: ten segments, the initial window (RFC 6928). */
const AT_ONCE = 14_000;

/** `acknowledged` and `end`: how far the peer's kernel has come in the stream of bytes sent, and where the Ping ends. */
export function weigh(queue: TcpQueue, acknowledged: number, end: number): number {
  if (queue.unread > 0) return Evidence.unread;
  if (queue.unacknowledged === 0) return Evidence.silent;
  // On a slow link the kernel tries again although what was sent before is still on its way.
  if (end - acknowledged > AT_ONCE) return Evidence.behind;
  // A timer of the kernel's has run out without an acknowledgement. Until one has, bytes are merely on their way.
  if (queue.retries > 0) return Evidence.dead;
  return acknowledged < end ? Evidence.underWay : Evidence.silent;
}

export function isOnItsWay(evidence: number): boolean {
  return evidence === Evidence.underWay || evidence === Evidence.behind;
}

/** `stalled`: ms that our event loop stood still since the Ping. */
export function causeOf(
  evidence: number | undefined,
  known: { asked: boolean; answered: boolean; stalled: number; timeout: number },
): SilenceCause {
  if (evidence === Evidence.dead) return 'link-dead';
  if (evidence === undefined && known.stalled >= known.timeout) return 'own-stall';
  // Where nothing was asked, silence is no answer.
  if (!known.asked) return 'unknown';
  if (!known.answered) return 'never-answered';
  return evidence === undefined ? 'unknown' : 'server-silent';
}

export function explain(cause: SilenceCause): string {
  switch (cause) {
    case 'link-dead':
      return 'what was sent is not acknowledged: the network, or the machine behind it, is gone';
    case 'server-silent':
      return 'its system acknowledges what is sent: its program hangs, or has stopped reading';
    case 'never-answered':
      return 'it has answered no request on this connection';
    case 'own-stall':
      return "this process's event loop stood still for so long that it may be the reason";
    case 'unknown':
      return 'why is not known here';
  }
}
