/** docs/heartbeats.md says of venues, causes and defaults what the sources say. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { type HeartbeatOptions, heartbeatSettings } from '../../src/heartbeat/settings.js';
import { type VenueHeartbeat, venueHeartbeats } from '../../src/heartbeat/venues.js';

const document = readFileSync(new URL('../../docs/heartbeats.md', import.meta.url), 'utf8');

const seconds = (ms: unknown): string => `${Number(ms) / 1000} s`;

function settings({ mode, interval, timeout, application }: HeartbeatOptions): string {
  const times = mode === 'listen' ? seconds(timeout) : `${seconds(interval)} + ${seconds(timeout)}`;
  const asks = application?.request ? `, sends \`${application.request}\`` : '';
  const answers = application?.isRequest ? ', answers its requests' : '';
  return `\`${mode}\`, ${times}${asks}${answers}`;
}

function line([name, venue]: [string, VenueHeartbeat]): string {
  const { heartbeat, rule, note = '', setup, source, date } = venue;
  const before = setup === undefined ? '' : `Send \`${setup}\` first. `;
  return `| \`${name}\` | ${settings(heartbeat)} | ${rule} | ${before}${note} | ${source}, ${date} |`;
}

test('the table of venues is that of src/heartbeat/venues.ts', () => {
  const lines = document.split('\n');
  const wanted = (Object.entries(venueHeartbeats) as [string, VenueHeartbeat][]).map(line);
  const first = lines.findIndex((each) => each.startsWith('| `deribit`'));
  const end = lines.findIndex((each, i) => i > first && !each.startsWith('|'));
  assert.equal(lines.slice(first, end).join('\n'), wanted.join('\n'));
});

test('the defaults are those of the sources', () => {
  const { mode, interval, ceiling } = heartbeatSettings(undefined)!;
  assert.ok(
    document.includes(
      `{ mode: '${mode}', interval: ${interval}, timeout: ${ceiling} }`.replace(/(\d)(000)\b/g, '$1_$2'),
    ),
    'the default',
  );
});

test('every cause of a verdict is explained', () => {
  for (const cause of ['link-dead', 'server-silent', 'never-answered', 'own-stall', 'unknown']) {
    assert.ok(document.includes(`| \`${cause}\` |`), cause);
  }
});
