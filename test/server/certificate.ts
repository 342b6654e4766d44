/**
 * A self-signed certificate for 127.0.0.1 and localhost, made anew in each process: no secret is committed and
 * none expires.
 */
import { execFileSync } from 'node:child_process';

export interface Certificate {
  /** PEM. A client trusts the server with `tls: { ca: certificate().cert }`. */
  cert: string;
  key: string;
}

let made: Certificate | undefined;

export function certificate(): Certificate {
  made ??= make();
  return made;
}

function make(): Certificate {
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost'];
  const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  // Key and certificate go to standard output, one behind the other: no file is left behind.
  const output = execFileSync(
    'openssl',
    ['req', '-x509', '-days', '2', ...key, ...subject, '-keyout', '-', '-out', '-'],
    { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] },
  );
  const block = (label: string): string => {
    const found = new RegExp(`-----BEGIN ${label}-----[^-]+-----END ${label}-----\n`).exec(output);
    if (found === null) throw new Error(`openssl gave no ${label}`);
    return found[0];
  };
  return { cert: block('CERTIFICATE'), key: block('PRIVATE KEY') };
}
