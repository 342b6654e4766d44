/**
 * `proxy: 'env'`: which proxy the environment names for a target. Nobody has specified these variables; this is
 * how curl and most others read them.
 */

import { BlockList, isIP } from 'node:net';

type Environment = Readonly<Record<string, string | undefined>>;

/** The proxy's URL; undefined for a direct connection. */
export function proxyFromEnvironment(
  target: { secure: boolean; host: string; port: number },
  environment: Environment,
): string | undefined {
  const proxy = target.secure
    ? variable(environment, 'HTTPS_PROXY')
    : // Behind CGI, HTTP_PROXY is a request's field "Proxy", so whoever asks could choose it (CVE-2016-5385).
      environment.REQUEST_METHOD === undefined
      ? variable(environment, 'HTTP_PROXY')
      : environment.http_proxy;
  if (proxy === undefined || proxy === '') return undefined;
  if (isExempt(target.host, target.port, variable(environment, 'NO_PROXY') ?? '')) return undefined;
  return proxy.includes('://') ? proxy : `http://${proxy}`;
}

function variable(environment: Environment, name: string): string | undefined {
  return environment[name.toLowerCase()] ?? environment[name];
}

/**
 * Whether NO_PROXY names the target: `*`; a name, which stands for its subdomains as well, with or without a dot
 * or `*.` in front; an address; a network, as `10.0.0.0/8`; each with `:port` where only that port is meant.
 */
export function isExempt(host: string, port: number, noProxy: string): boolean {
  const name = withoutDot(host.toLowerCase());
  return noProxy
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => entry !== '' && matches(entry, name, port));
}

function matches(entry: string, host: string, port: number): boolean {
  if (entry === '*') return true;
  const [pattern, onlyPort] = splitPort(entry);
  if (onlyPort !== undefined && onlyPort !== port) return false;
  if (pattern.includes('/')) return inNetwork(pattern, host);
  if (isIP(host) !== 0) return isIP(pattern) !== 0 && inNetwork(`${pattern}/`, host);
  const suffix = withoutDot(pattern.replace(/^\*?\./, ''));
  return suffix !== '' && (host === suffix || host.endsWith(`.${suffix}`));
}

function splitPort(entry: string): [pattern: string, port: number | undefined] {
  const bracketed = /^\[([^\]]*)\](?::(\d+))?$/.exec(entry);
  const parts = bracketed ?? /^([^:]*):(\d+)$/.exec(entry);
  if (parts === null) return [entry, undefined];
  return [parts[1], parts[2] === undefined ? undefined : Number(parts[2])];
}

/** `network/bits`; without bits, the address itself, however it is written. */
function inNetwork(network: string, host: string): boolean {
  const [address, bits] = network.split('/');
  const version = isIP(address);
  if (version === 0 || isIP(host) !== version) return false;
  const family = version === 4 ? 'ipv4' : 'ipv6';
  const width = version === 4 ? 32 : 128;
  const prefix = bits === '' ? width : Number(bits);
  if (!Number.isInteger(prefix) || prefix < 0 || prefix > width) return false;
  const list = new BlockList();
  list.addSubnet(address, prefix, family);
  return list.check(host, family);
}

/** A name may end in the root's dot (RFC 1034 §3.1). */
function withoutDot(name: string): string {
  return name.endsWith('.') ? name.slice(0, -1) : name;
}
