/**
 * The opening handshake by Node's own HTTP client: for agents, for requests that the application finishes, for Unix
 * sockets, and for redirects as `ws` follows them. The connection runs on the socket that comes out, as on any
 * stream of the application's.
 */

import type { ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import { connect as connectTcp, isIP, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type DropInOpening, Opening } from '../connect.js';
import { HeartwireError } from '../errors.js';
import { formatExtensions } from '../protocol/extensions.js';
import type { OpeningRequest } from '../protocol/opening-handshake.js';
import type { Response } from '../protocol/response-reader.js';
import type { WebSocket } from '../websocket.js';
import type { ClientOptions } from './client-options.js';
import { authOf, connectOptions, DEFAULTS } from './options.js';

/** Loaded only by those who come here: they cost more than all the rest. */
const http = () => process.getBuiltinModule('node:http');
const https = () => process.getBuiltinModule('node:https');

type Given = ClientOptions & Record<string, unknown>;

export interface HttpOpeningEvents extends DropInOpening {
  onFailed(error: unknown): void;
  onUpgrade(response: Response, message?: IncomingMessage): void;
  /** Another URL is asked. */
  onRedirect(url: URL, request: ClientRequest): void;
}

/** What is being asked for. */
interface Resource {
  readonly isSecure: boolean;
  readonly isUnix: boolean;
  /** Of the server, or the Unix socket's path. */
  readonly host: string;
  readonly port: number | string;
  readonly socketPath: string | undefined;
  readonly path: string;
}

function resourceOf(url: URL, options: Given): Resource {
  const isSecure = url.protocol === 'wss:';
  const isUnix = url.protocol === 'ws+unix:';
  const path = url.pathname + url.search;
  const [socketPath, ...rest] = isUnix ? path.split(':') : [options.socketPath];
  return {
    isSecure,
    isUnix,
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: url.port || (isSecure ? 443 : 80),
    socketPath,
    path: isUnix ? rest.join(':') : path,
  };
}

export class HttpOpening {
  readonly #websocket: WebSocket;
  readonly #options: Given;
  readonly #protocols: readonly string[];
  readonly #events: HttpOpeningEvents;
  readonly #first: Resource & { readonly authority: string };
  /** What further servers are told; more is taken away when one of them is another. */
  #headers: Record<string, string | number | readonly string[]>;
  #redirects = 0;
  #request: ClientRequest | undefined;
  #answer: IncomingMessage | undefined;
  #current: Opening | undefined;
  #over = false;

  constructor(
    websocket: WebSocket,
    url: URL,
    options: Given,
    protocols: readonly string[],
    events: HttpOpeningEvents,
  ) {
    this.#websocket = websocket;
    this.#options = options;
    this.#protocols = protocols;
    this.#events = events;
    this.#headers = { ...options.headers };
    const resource = resourceOf(url, options);
    this.#first = { ...resource, authority: authorityOf(url, resource) };
  }

  /** Throws what Node throws for options that make no request. */
  begin(url: URL): void {
    this.#ask(url);
  }

  /** Gives up; nothing is told any more. */
  abort(error: HeartwireError): void {
    this.#over = true;
    this.#current?.giveUp(error);
    const request = this.#request;
    request?.destroy();
    // A request that has been sent whole leaves its socket alone.
    request?.socket?.destroy();
  }

  #ask(url: URL): void {
    const options = this.#options;
    const resource = resourceOf(url, options);
    const auth = this.#credentials(url, resource);
    const opening = this.#opening(url);
    this.#current = opening;
    const headers = this.#requestHeaders(opening.request);
    const timeout = options.handshakeTimeout ?? options.timeout;
    const request = (resource.isSecure ? https() : http()).request({
      ...(options as RequestOptions),
      createConnection:
        (options.createConnection as RequestOptions['createConnection']) ??
        (resource.isSecure ? connectSecure : connectPlain),
      defaultPort: (options.defaultPort as number | undefined) ?? (resource.isSecure ? 443 : 80),
      agent: options.agent ?? undefined,
      method: 'GET',
      protocol: undefined,
      hostname: undefined,
      host: resource.host,
      port: resource.port,
      path: resource.path,
      socketPath: resource.socketPath,
      headers,
      auth,
      timeout,
    } as RequestOptions);
    this.#request = request;
    if (this.#redirects > 0) this.#events.onRedirect(url, request);
    if (timeout) request.on('timeout', () => this.#refuse(new Error('Opening handshake has timed out')));
    request.on('error', (error) => this.#fail(error));
    request.on('response', (response) => this.#onResponse(url, request, response));
    request.on('upgrade', (response, socket, head) => this.#onUpgrade(opening, response, socket, head));
    if (options.finishRequest) options.finishRequest(request, this.#websocket);
    else request.end();
  }

  #requestHeaders(handshake: OpeningRequest): Record<string, string | number | readonly string[]> {
    const { origin, protocolVersion } = this.#options;
    const version = protocolVersion ?? DEFAULTS.protocolVersion;
    const headers: Record<string, string | number | readonly string[]> = {
      ...this.#headers,
      'Sec-WebSocket-Version': version,
      'Sec-WebSocket-Key': handshake.key,
      Connection: 'Upgrade',
      Upgrade: 'websocket',
    };
    if (handshake.offered.length > 0)
      headers['Sec-WebSocket-Extensions'] = formatExtensions(handshake.offered);
    if (this.#protocols.length > 0) headers['Sec-WebSocket-Protocol'] = this.#protocols.join(',');
    // Before RFC 6455 the field had another name.
    if (origin) headers[version < 13 ? 'Sec-WebSocket-Origin' : 'Origin'] = origin;
    return headers;
  }

  /** What another server, or a plain connection after a secure one, must not be told. */
  #credentials(url: URL, resource: Resource): string | undefined {
    const auth = authOf(url) ?? this.#options.auth ?? undefined;
    if (this.#redirects === 0 || this.#websocket.listenerCount('redirect') > 0) return auth;
    const { isUnix, isSecure } = this.#first;
    const isSameHost = resource.isUnix === isUnix && authorityOf(url, resource) === this.#first.authority;
    if (isSameHost && (resource.isSecure || !isSecure)) return auth;
    const secret = isSameHost ? ['authorization', 'cookie'] : ['authorization', 'cookie', 'host'];
    this.#headers = Object.fromEntries(
      Object.entries(this.#headers).filter(([name]) => !secret.includes(name.toLowerCase())),
    );
    return undefined;
  }

  #onResponse(url: URL, request: ClientRequest, response: IncomingMessage): void {
    if (this.#over) return;
    const { statusCode = 0, headers } = response;
    const { followRedirects, maxRedirects } = this.#options;
    if (headers.location && followRedirects && statusCode >= 300 && statusCode < 400) {
      if (++this.#redirects > (maxRedirects ?? DEFAULTS.maxRedirects)) {
        this.#refuse(new Error('Maximum redirects exceeded'));
        return;
      }
      this.#follow(url, headers.location);
    } else if (!this.#websocket.emit('unexpected-response', request, response)) {
      this.#refuse(new Error(`Unexpected server response: ${statusCode}`));
    }
  }

  #follow(from: URL, location: string): void {
    const request = this.#request!;
    request.removeAllListeners('error').on('error', () => {});
    request.destroy();
    try {
      this.#ask(this.#websocket.redirected(location, from));
    } catch (error) {
      this.#fail(error);
    }
  }

  /** It says what to ask for, judges the answer, and takes over from there. */
  #opening(url: URL): Opening {
    const connect = connectOptions(url, this.#options, this.#protocols);
    const { connection, onOpen, onUpgrade } = this.#events;
    // The fields are Node's to check and to send.
    const options = { ...connect, headers: undefined, ...this.#websocket.handlers };
    return new Opening(handshakeUrl(url), options, {
      connection,
      onUpgrade: (response) => onUpgrade(response, this.#answer),
      onOpen: (opened) => {
        this.#over = true;
        onOpen(opened);
      },
    });
  }

  #onUpgrade(opening: Opening, answer: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#answer = answer;
    try {
      (socket as Partial<Socket>).setTimeout?.(0);
      (socket as Partial<Socket>).setNoDelay?.();
      opening.adopt(socket, responseOf(answer), head);
    } catch (error) {
      socket.destroy();
      this.#fail(error);
    }
  }

  /** Ends the request, for a reason of ours. */
  #refuse(error: Error): void {
    if (this.#over) return;
    this.abort(new HeartwireError('ERR_ABORTED', error.message));
    process.nextTick(() => this.#events.onFailed(error));
  }

  #fail(error: unknown): void {
    if (this.#over) return;
    this.#over = true;
    this.#events.onFailed(error);
  }
}

/** Scheme and credentials are no part of what is asked for. */
function handshakeUrl(url: URL): URL {
  const plain = new URL(url.protocol === 'ws+unix:' ? 'ws://localhost/' : url);
  plain.username = '';
  plain.password = '';
  plain.hash = '';
  return plain;
}

function authorityOf(url: URL, { isUnix, socketPath }: Resource): string {
  return isUnix ? socketPath! : url.host;
}

/** Node hands its own options on, in which `path` is the resource. */
function connectPlain(options: RequestOptions): Duplex {
  return connectTcp({ ...options, path: options.socketPath ?? undefined } as never);
}

function connectSecure(options: RequestOptions & { servername?: string }): Duplex {
  const { servername, host } = options;
  return process.getBuiltinModule('node:tls').connect({
    ...(options as object),
    path: undefined,
    servername: servername || servername === '' ? servername : isIP(host ?? '') ? '' : (host ?? ''),
  });
}

function responseOf({
  statusCode = 0,
  statusMessage = '',
  httpVersion,
  rawHeaders,
}: IncomingMessage): Response {
  const lines: [string, string][] = [];
  const headers: Record<string, string> = Object.create(null);
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const [name, value] = [rawHeaders[i], rawHeaders[i + 1]];
    lines.push([name, value]);
    const key = name.toLowerCase();
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  return {
    statusCode,
    statusText: statusMessage,
    httpVersion,
    headers,
    rawHeaders: lines,
    body: Buffer.alloc(0),
  };
}

/** A response of our own reading, as Node's HTTP client would show it. */
export function incomingMessage(
  response: Pick<Response, 'statusCode' | 'statusText' | 'rawHeaders' | 'body'>,
  socket: Duplex | null,
): IncomingMessage {
  const message = new (http().IncomingMessage)(socket as Socket);
  message.statusCode = response.statusCode;
  message.statusMessage = response.statusText;
  message.httpVersion = '1.1';
  message.httpVersionMajor = 1;
  message.httpVersionMinor = 1;
  message.rawHeaders = response.rawHeaders.flat();
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of response.rawHeaders) {
    const key = name.toLowerCase();
    if (key === 'set-cookie') headers[key] = [...((headers[key] as string[] | undefined) ?? []), value];
    else headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  message.headers = headers as IncomingMessage['headers'];
  message.push(response.body);
  message.push(null);
  message.complete = true;
  return message;
}
