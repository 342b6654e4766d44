/** Latency by percentile as an SVG. Both axes are logarithmic: from left to right ten times rarer at each mark. */
import { colour } from './colour.js';

interface Line {
  contender: string;
  /** Share of values that are greater, and the value in µs. */
  curve: [share: number, value: number][];
}

const WIDTH = 460;
const HEIGHT = 230;
const LEFT = 48;
const RIGHT = 10;
const TOP = 8;
const BOTTOM = 24;
const PERCENTILES: [share: number, label: string][] = [
  [1, '0'],
  [0.1, '90 %'],
  [0.01, '99 %'],
  [0.001, '99.9 %'],
  [0.0001, '99.99 %'],
  [0.00001, '99.999 %'],
];

export function latencyChart(lines: Line[]): string {
  const points = lines.flatMap(({ curve }) => curve);
  const rarest = Math.min(0.01, ...points.map(([share]) => share));
  const low = Math.floor(Math.log10(Math.min(...points.map(([, value]) => value))));
  const high = Math.ceil(Math.log10(Math.max(...points.map(([, value]) => value))));
  const x = (share: number): number =>
    LEFT + (Math.log10(share) / Math.log10(rarest)) * (WIDTH - LEFT - RIGHT);
  const y = (value: number): number =>
    HEIGHT - BOTTOM - ((Math.log10(value) - low) / Math.max(1, high - low)) * (HEIGHT - TOP - BOTTOM);

  const vertical = PERCENTILES.filter(([share]) => share >= rarest).map(
    ([share, label]) =>
      `<line class="grid" x1="${round(x(share))}" x2="${round(x(share))}" y1="${TOP}" y2="${HEIGHT - BOTTOM}"/>` +
      `<text x="${round(x(share))}" y="${HEIGHT - 8}" text-anchor="middle">${label}</text>`,
  );
  const horizontal = Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i)).map(
    (value) =>
      `<line class="grid" x1="${LEFT}" x2="${WIDTH - RIGHT}" y1="${round(y(value))}" y2="${round(y(value))}"/>` +
      `<text x="${LEFT - 5}" y="${round(y(value)) + 4}" text-anchor="end">${time(value)}</text>`,
  );
  const curves = lines.map(({ contender, curve }) => {
    const path = curve.map(([share, value]) => `${round(x(share))},${round(y(value))}`).join(' ');
    return `<polyline points="${path}" style="stroke:${colour(contender)}"><title>${contender}</title></polyline>`;
  });
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="latency by percentile">${vertical.join('')}${horizontal.join('')}${curves.join('')}</svg>`;
}

function time(microseconds: number): string {
  if (microseconds >= 1e6) return `${microseconds / 1e6} s`;
  return microseconds >= 1000 ? `${microseconds / 1000} ms` : `${microseconds} µs`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}
