/** A run as one self-contained page: bars and curves drawn here, no script, in light and dark, for any width. */
import type { MicroRow } from '../micro/micro-process.js';
import { colour } from './colour.js';
import { latencyChart } from './latency-chart.js';
import type { Row, Run } from './rows.js';
import { bytes, duration, LEGEND, rate, threeDigits } from './table.js';

export function page(run: Run): string {
  const { machine, rows, micro } = run;
  const about = [
    machine.cpu,
    `${machine.cores} cores`,
    machine.platform,
    `Node ${machine.node}`,
    machine.commit,
  ];
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Heartwire: benchmark</title>
<style>${STYLE}</style>
<main>
<h1>Heartwire: benchmark</h1>
<p>${escaped(run.date.slice(0, 16).replace('T', ' '))} UTC · ${escaped(about.join(' · '))} · ${run.seconds.toFixed(0)} s${run.quick ? ' · quick: not to be quoted' : ''}</p>
<p>Bars show the median of all rounds. <b>×</b> is the speed relative to ws: median of the ratios within each round,
and below it where that lies with 95 % confidence. The floor is a raw socket with a reused cursor: a bound, not a
client.</p>
${summary(rows)}
${section('Throughput', 'messages a second; longer is better', byCase(rows, 'rate').map(rateCard))}
${section('Latency', 'percentiles of all rounds, both axes logarithmic; lower is better', byCase(rows, 'latency', 'fleet').map(latencyCard))}
${section('Cost', 'CPU time of one; shorter is better', byCase(rows, 'cost').map(costCard))}
${section('Memory', 'what a process holds at the end of a round, and what of it is JavaScript heap', byCase(rows).map(memoryCard))}
${section('Codec', 'time of one operation; shorter is better', byName(micro).map(microCard))}
<h2>What was measured</h2>
<dl>${Object.entries(run.subjects)
    .map(([name, subject]) => `<dt>${mark(name)}${escaped(name)}</dt><dd>${escaped(subject)}</dd>`)
    .join('')}</dl>
<pre>${escaped(LEGEND)}</pre>
</main>
</html>
`;
}

/** Wins and losses alike: every case, Heartwire against ws and the floor. */
function summary(rows: Row[]): string {
  const ours = rows.filter(({ contender, failure }) => contender === 'heartwire' && failure === undefined);
  if (ours.length === 0) return '';
  const cell = (value: number | undefined, interval: [number, number] | undefined): string => {
    if (value === undefined) return '<td></td>';
    const title = interval === undefined ? '' : ` title="${interval.map(threeDigits).join(' to ')}"`;
    return `<td${title} class="${value < 1 ? 'behind' : ''}">${threeDigits(value)}</td>`;
  };
  const body = ours.map(
    (row) =>
      `<tr><th>${escaped(titleOf(row))}</th>${cell(row.ratio.ws, row.ratioInterval.ws)}` +
      `${cell(row.ratio.floor, row.ratioInterval.floor)}` +
      `${cell(row.tailRatio.ws, undefined)}<td>${duration(row.cpuNanosecondsPerMessage)}</td></tr>`,
  );
  return `<h2>Summary</h2>
<p class="note">Heartwire's speed relative to ws and to the floor (above 1 is faster, below 1 is marked), and its CPU time
per message.</p>
<div class="scroll"><table><thead><tr><th>case</th><td>× ws</td><td>× floor</td><td>p99 × ws</td><td>CPU</td></tr></thead>
<tbody>${body.join('\n')}</tbody></table></div>`;
}

function section(title: string, note: string, cards: string[]): string {
  if (cards.length === 0) return '';
  return `<h2>${title}</h2>\n<p class="note">${note}</p>\n<div class="cards">\n${cards.join('\n')}\n</div>`;
}

function rateCard(rows: Row[]): string {
  const most = Math.max(...rows.map(({ messagesPerSecond }) => messagesPerSecond));
  return card(
    rows,
    rows.map((row) =>
      bar(row.contender, row.messagesPerSecond / most, rate(row.messagesPerSecond), timesWs(row)),
    ),
  );
}

function costCard(rows: Row[]): string {
  const most = Math.max(...rows.map(({ cpuNanosecondsPerMessage }) => cpuNanosecondsPerMessage));
  return card(
    rows,
    rows.map(({ contender, cpuNanosecondsPerMessage: each, cpuRatio }) =>
      bar(
        contender,
        each / most,
        duration(each),
        cpuRatio.ws === undefined ? '' : `× ${threeDigits(cpuRatio.ws)}`,
      ),
    ),
  );
}

function memoryCard(rows: Row[]): string {
  const most = Math.max(...rows.map(({ memory }) => memory.resident));
  return card(
    rows,
    rows.map(({ contender, memory: { resident, heap } }) =>
      bar(contender, resident / most, bytes(resident), `heap ${bytes(heap)}`),
    ),
  );
}

function latencyCard(rows: Row[]): string {
  const lines = rows.flatMap(({ contender, curve }) => (curve === undefined ? [] : [{ contender, curve }]));
  const body = rows.map(({ contender, latency }) => {
    const { p50, p90, p99, p999, max } = latency!;
    const cells = [p50, p90, p99, p999, max].map((value) => `<td>${threeDigits(value)}</td>`);
    return `<tr><th class="name">${mark(contender)}${escaped(contender)}</th>${cells.join('')}</tr>`;
  });
  return `<section><h3>${escaped(titleOf(rows[0]))}</h3>
${latencyChart(lines)}
<div class="scroll"><table><thead><tr><th>µs</th><td>p50</td><td>p90</td><td>p99</td><td>p99.9</td><td>max</td></tr></thead>
<tbody>${body.join('')}</tbody></table></div></section>`;
}

function microCard(rows: MicroRow[]): string {
  const most = Math.max(...rows.map(({ nanoseconds }) => nanoseconds));
  const bars = rows.map(({ way, nanoseconds }) =>
    bar(
      way,
      nanoseconds / most,
      duration(nanoseconds),
      `× ${threeDigits(nanoseconds / rows[0].nanoseconds)}`,
    ),
  );
  return `<section><h3>${escaped(rows[0].suite)}</h3>${bars.join('')}</section>`;
}

function card(rows: Row[], bars: string[]): string {
  return `<section><h3>${escaped(titleOf(rows[0]))}</h3>${bars.join('')}</section>`;
}

function bar(name: string, share: number, value: string, aside: string): string {
  return (
    `<div class="bar"><span>${escaped(name)}</span>` +
    `<span class="track"><span class="fill" style="width:${(share * 100).toFixed(1)}%;background:${colour(name)}"></span></span>` +
    `<span class="value">${value}</span><span class="aside">${aside}</span></div>`
  );
}

function timesWs({ ratio, ratioInterval, contender }: Row): string {
  if (ratio.ws === undefined || contender === 'ws') return '';
  const [low, high] = ratioInterval.ws;
  return `× ${threeDigits(ratio.ws)}<small>${threeDigits(low)}–${threeDigits(high)}</small>`;
}

/** The rows of each case in the order they were measured, without those that failed. */
function byCase(rows: Row[], ...metrics: Row['metric'][]): Row[][] {
  const cases = new Map<string, Row[]>();
  for (const row of rows) {
    if (row.failure !== undefined || (metrics.length > 0 && !metrics.includes(row.metric))) continue;
    cases.set(titleOf(row), [...(cases.get(titleOf(row)) ?? []), row]);
  }
  return [...cases.values()];
}

function byName(micro: MicroRow[]): MicroRow[][] {
  const suites = new Map<string, MicroRow[]>();
  for (const row of micro) suites.set(row.suite, [...(suites.get(row.suite) ?? []), row]);
  return [...suites.values()];
}

function titleOf(row: Row): string {
  return `${row.workload} ${row.case}, ${row.transport}`;
}

function mark(name: string): string {
  return `<i style="background:${colour(name)}"></i>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;');
}

const STYLE = `
:root { color-scheme: light dark; --back: #fcfcfb; --card: #fff; --ink: #0b0b0b; --soft: #52514e; --line: #dddcd8;
  --behind: #b3261e; --c0: #2a78d6; --c1: #eb6834; --c2: #8a8985; --c3: #1baf7a; --c4: #eda100; --c5: #e87ba4;
  --c6: #008300; --c7: #4a3aa7; }
@media (prefers-color-scheme: dark) { :root { --back: #141413; --card: #1d1d1b; --ink: #fff; --soft: #c3c2b7;
  --line: #3a3935; --behind: #ff8a80; --c0: #3987e5; --c1: #d95926; --c2: #9b9a94; --c3: #199e70; --c4: #c98500;
  --c5: #d55181; --c6: #2b9a2b; --c7: #9085e9; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 1.2rem; }
h1 { font-size: 1.6rem; margin: 0; } h2 { margin: 2rem 0 0; font-size: 1.2rem; } h3 { font-size: .95rem; margin: 0 0 .5rem; }
.note, small, .aside, pre { color: var(--soft); } .note { margin: .2rem 0 .8rem; }
.cards { display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 6px; padding: .8rem; min-width: 0; }
.bar { display: grid; grid-template-columns: 6.2rem 1fr 4.2rem 5.8rem; gap: .5rem; align-items: center; font-size: .82rem; }
.bar > span:first-child { overflow-wrap: anywhere; line-height: 1.15; padding: .15rem 0; }
.track { height: .7rem; } .fill { display: block; height: 100%; min-width: 2px; border-radius: 0 3px 3px 0; }
.value, td { text-align: right; font-variant-numeric: tabular-nums; } .aside { text-align: right; line-height: 1.1; white-space: nowrap; }
.aside small { display: block; font-size: .72rem; }
.scroll, pre { overflow-x: auto; } pre { font-size: .75rem; }
table { border-collapse: collapse; font-size: .82rem; width: 100%; }
th { text-align: left; font-weight: 400; } td, th { padding: .15rem .4rem; border-bottom: 1px solid var(--line); }
th.name { white-space: nowrap; } thead { color: var(--soft); } .behind { color: var(--behind); font-weight: 600; }
i { display: inline-block; width: .7rem; height: .7rem; border-radius: 2px; margin-right: .4rem; }
dt { font-weight: 600; } dd { margin: 0 0 .4rem; color: var(--soft); }
svg { width: 100%; height: auto; display: block; } svg text { fill: var(--soft); font-size: 11px; }
svg .grid { stroke: var(--line); } svg polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
`;
