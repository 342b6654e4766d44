/**
 * A certificate authority of the test's own: certificates for servers, clients and proxies, valid or not. Made anew
 * in each process; nothing of it is left on disk.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Certificate } from './certificate.js';

export interface Wanted {
  name: string;
  /** `DNS:…,IP:…`; by default localhost and 127.0.0.1. */
  alternativeNames?: string;
  /** Days from now; by default from yesterday to the day after tomorrow. */
  from?: number;
  to?: number;
}

export interface Authority {
  /** PEM, for `ca`. */
  cert: string;
  issue(wanted: Wanted): Certificate;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];

const CONFIGURATION = (folder: string): string => `
[ca]
default_ca = own
[own]
database = ${folder}/index.txt
new_certs_dir = ${folder}
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
`;

export function authority(name = 'An authority of this test'): Authority {
  const own = inFolder((folder) => {
    const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
    openssl(
      'req',
      '-x509',
      '-days',
      '2',
      ...KEY,
      '-subj',
      `/CN=${name}`,
      '-addext',
      'keyUsage=critical,keyCertSign',
      '-keyout',
      key,
      '-out',
      cert,
    );
    return { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  });
  return { cert: own.cert, issue: (wanted) => issue(own, wanted) };
}

function issue(issuer: Certificate, { name, alternativeNames, from = -1, to = 2 }: Wanted): Certificate {
  return inFolder((folder) => {
    const at = (file: string): string => join(folder, file);
    writeFileSync(at('ca.pem'), issuer.cert);
    writeFileSync(at('ca.key'), issuer.key);
    writeFileSync(at('ca.conf'), CONFIGURATION(folder));
    writeFileSync(at('index.txt'), '');
    const names = `subjectAltName=${alternativeNames ?? 'DNS:localhost,IP:127.0.0.1'}`;
    const request = ['-subj', `/CN=${name}`, '-addext', names];
    openssl('req', '-new', ...KEY, ...request, '-keyout', at('key.pem'), '-out', at('request.pem'));
    const dates = ['-startdate', asn1Time(from), '-enddate', asn1Time(to)];
    const by = ['-config', at('ca.conf'), '-cert', at('ca.pem'), '-keyfile', at('ca.key')];
    openssl('ca', '-batch', '-notext', ...by, ...dates, '-in', at('request.pem'), '-out', at('cert.pem'));
    return { cert: readFileSync(at('cert.pem'), 'utf8'), key: readFileSync(at('key.pem'), 'utf8') };
  });
}

function inFolder<T>(body: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'heartwire-authority-'));
  try {
    return body(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function openssl(...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

/** GeneralizedTime, as `openssl ca` wants it. */
function asn1Time(days: number): string {
  return `${new Date(Date.now() + days * 86_400_000).toISOString().replace(/[-:T]|\.\d+/g, '')}`;
}
