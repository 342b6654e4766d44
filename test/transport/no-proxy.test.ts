/** `proxy: 'env'`: the variables, as curl and most others read them. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isExempt, proxyFromEnvironment } from '../../src/transport/no-proxy.js';

const WS = { secure: false, host: 'example.com', port: 80 };
const WSS = { secure: true, host: 'example.com', port: 443 };

describe('which variable names the proxy', () => {
  const cases: [string, typeof WS, Record<string, string>, string | undefined][] = [
    ['none at all', WSS, {}, undefined],
    ['HTTPS_PROXY for wss:', WSS, { HTTPS_PROXY: 'http://p:1' }, 'http://p:1'],
    ['https_proxy for wss:', WSS, { https_proxy: 'http://p:1' }, 'http://p:1'],
    ['HTTP_PROXY for ws:', WS, { HTTP_PROXY: 'http://p:1' }, 'http://p:1'],
    ['http_proxy for ws:', WS, { http_proxy: 'http://p:1' }, 'http://p:1'],
    ['not HTTP_PROXY for wss:', WSS, { HTTP_PROXY: 'http://p:1', http_proxy: 'http://p:1' }, undefined],
    ['not HTTPS_PROXY for ws:', WS, { HTTPS_PROXY: 'http://p:1', https_proxy: 'http://p:1' }, undefined],
    ['lower case before upper case', WSS, { https_proxy: 'http://a', HTTPS_PROXY: 'http://b' }, 'http://a'],
    ['an empty one is none', WSS, { https_proxy: '', HTTPS_PROXY: 'http://b' }, undefined],
    ['without a scheme: http:', WSS, { HTTPS_PROXY: 'user:pass@p:3128' }, 'http://user:pass@p:3128'],
    ['https: to the proxy', WSS, { HTTPS_PROXY: 'https://p' }, 'https://p'],
    ['but for NO_PROXY', WSS, { HTTPS_PROXY: 'http://p', NO_PROXY: 'example.com' }, undefined],
    ['but for no_proxy', WSS, { HTTPS_PROXY: 'http://p', no_proxy: 'example.com' }, undefined],
    ['no_proxy before NO_PROXY', WSS, { HTTPS_PROXY: 'http://p', no_proxy: 'x', NO_PROXY: '*' }, 'http://p'],
    ['HTTP_PROXY under CGI is a request’s', WS, { HTTP_PROXY: 'http://p', REQUEST_METHOD: 'GET' }, undefined],
    ['http_proxy under CGI is not', WS, { http_proxy: 'http://p', REQUEST_METHOD: 'GET' }, 'http://p'],
  ];
  for (const [title, target, environment, expected] of cases) {
    test(title, () => assert.equal(proxyFromEnvironment(target, environment), expected));
  }
});

describe('NO_PROXY', () => {
  const cases: [noProxy: string, host: string, port: number, exempt: boolean][] = [
    ['', 'example.com', 443, false],
    ['*', 'example.com', 443, true],
    ['example.com', 'example.com', 443, true],
    ['example.com', 'www.example.com', 443, true],
    ['example.com', 'wwwexample.com', 443, false],
    ['example.com', 'example.com.org', 443, false],
    ['.example.com', 'www.example.com', 443, true],
    ['.example.com', 'example.com', 443, true],
    ['*.example.com', 'www.example.com', 443, true],
    ['www.example.com', 'example.com', 443, false],
    ['EXAMPLE.com', 'example.COM', 443, true],
    ['example.com.', 'example.com', 443, true],
    ['example.com', 'example.com.', 443, true],
    ['a.test, example.com ,b.test', 'example.com', 443, true],
    ['a.test\texample.com', 'example.com', 443, true],
    [',,', 'example.com', 443, false],
    ['.', 'example.com', 443, false],
    ['example.com:443', 'example.com', 443, true],
    ['example.com:443', 'example.com', 444, false],
    ['*:443', 'example.com', 443, false],
    ['192.0.2.1', '192.0.2.1', 80, true],
    ['192.0.2.1', '192.0.2.10', 80, false],
    ['192.0.2.1:80', '192.0.2.1', 80, true],
    ['192.0.2.1:80', '192.0.2.1', 81, false],
    ['2.1', '192.0.2.1', 80, false],
    ['192.0.2.0/24', '192.0.2.77', 80, true],
    ['192.0.2.0/24', '192.0.3.1', 80, false],
    ['192.0.2.0/33', '192.0.2.1', 80, false],
    ['0.0.0.0/0', '192.0.2.1', 80, true],
    ['192.0.2.0/24', 'example.com', 80, false],
    ['example.com/24', 'example.com', 80, false],
    ['::1', '::1', 80, true],
    ['[::1]', '::1', 80, true],
    ['[::1]:80', '::1', 80, true],
    ['[::1]:80', '::1', 81, false],
    ['0:0:0:0:0:0:0:1', '::1', 80, true],
    ['2001:db8::/32', '2001:db8:1::5', 80, true],
    ['2001:db8::/32', '2001:db9::5', 80, false],
    ['2001:db8::/32', '192.0.2.1', 80, false],
    ['localhost', '127.0.0.1', 80, false],
  ];
  for (const [noProxy, host, port, exempt] of cases) {
    test(`"${noProxy}" ${exempt ? 'exempts' : 'does not exempt'} ${host}:${port}`, () => {
      assert.equal(isExempt(host, port, noProxy), exempt);
    });
  }

  test('an entry exempts a name and everything below it, and nothing else', () => {
    const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,6}$/);
    const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
    fc.assert(
      fc.property(name, name, name, (host, entry, other) => {
        const below = host === entry || host.endsWith(`.${entry}`);
        assert.equal(isExempt(host, 443, entry), below);
        assert.ok(isExempt(`${host}.${entry}`, 443, `${other},.${entry}`));
        assert.ok(!isExempt(`${host}${entry}`, 443, entry));
      }),
    );
  });
});
