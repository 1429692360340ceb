/// <reference no-default-lib="true" />
/// <reference lib="esnext" />
// What functions of Onward find around them, for editors and for TypeScript's checkJs. At the top of a function's file:
//   // @ts-check
//   /// <reference path="./onward.d.ts" />
//   /** @param {TrackEvent} event @param {OnwardSettings} settings */
//   async function onTrack(event, settings) { ... }
// Members of exports: /** @type {OnwardHandlers} */ module.exports = { async onTrack(event, settings) { ... } }.
//
// It describes a script without a browser: "lib" is esnext without "dom", as the lines above say to TypeScript 5.
// Packages have types of their own: of those that are installed here (aws-sdk, @types/lodash, @types/oauth, @types/xml, @types/node),
// all is known, and the others are `any`. With @types/node, which declares the same globals, turn "skipLibCheck" on.

/** An event of the Segment spec, a fresh copy for every attempt. */
interface OnwardEvent {
  type: 'track' | 'identify' | 'page' | 'screen' | 'group' | 'alias' | 'delete';
  messageId: string;
  timestamp: string;
  receivedAt?: string;
  /** The id of the replay or redrive that this attempt is part of; absent for all others. */
  replay?: string;
  userId?: string;
  anonymousId?: string;
  context?: { [key: string]: any };
  integrations?: { [key: string]: any };
  [key: string]: any;
}
interface TrackEvent extends OnwardEvent {
  type: 'track';
  event: string;
  properties?: { [key: string]: any };
}
interface IdentifyEvent extends OnwardEvent {
  type: 'identify';
  traits?: { [key: string]: any };
}
interface PageEvent extends OnwardEvent {
  type: 'page';
  name?: string;
  category?: string;
  properties?: { [key: string]: any };
}
interface ScreenEvent extends OnwardEvent {
  type: 'screen';
  name?: string;
  properties?: { [key: string]: any };
}
interface GroupEvent extends OnwardEvent {
  type: 'group';
  groupId: string;
  traits?: { [key: string]: any };
}
interface AliasEvent extends OnwardEvent {
  type: 'alias';
  previousId: string;
}
interface DeleteEvent extends OnwardEvent {
  type: 'delete';
}

/** Every setting that has a value, secrets in clear; a fresh copy for every attempt. */
interface OnwardSettings {
  [name: string]: any;
}

type OnwardHandler<Event> = (event: Event, settings: OnwardSettings) => unknown;

/** Handlers as functions of the script, or as members of `exports` and `module.exports`. */
interface OnwardHandlers {
  onTrack?: OnwardHandler<TrackEvent>;
  onIdentify?: OnwardHandler<IdentifyEvent>;
  onPage?: OnwardHandler<PageEvent>;
  onScreen?: OnwardHandler<ScreenEvent>;
  onGroup?: OnwardHandler<GroupEvent>;
  onAlias?: OnwardHandler<AliasEvent>;
  onDelete?: OnwardHandler<DeleteEvent>;
  onBatch?: OnwardHandler<OnwardEvent[]>;
}
declare var exports: OnwardHandlers;
declare var module: { exports: OnwardHandlers };

/** The function does not handle this event: it fails without a retry. */
declare class EventNotSupported extends Error {}
/** The event lacks what the function needs: it fails without a retry. */
declare class InvalidEventPayload extends Error {}
/** The event or a setting is not valid: it fails without a retry. */
declare class ValidationError extends Error {}
/** The event is tried again later. */
declare class RetryError extends Error {}
/** The event is filtered: neither delivered nor failed. */
declare class DropEvent extends Error {}

/** Values kept between the events of one isolate; one flight for each key. */
declare const cache: {
  load<Value>(key: string, ttlMs: number, load: () => Promise<Value> | Value): Promise<Value>;
  delete(key: string): boolean;
};

declare const console: {
  log(...data: any[]): void;
  info(...data: any[]): void;
  warn(...data: any[]): void;
  error(...data: any[]): void;
  debug(...data: any[]): void;
  trace(...data: any[]): void;
  dir(item: any, options?: object): void;
  table(data: any, columns?: string[]): void;
  assert(condition?: boolean, ...data: any[]): void;
  count(label?: string): void;
  countReset(label?: string): void;
  group(...label: any[]): void;
  groupEnd(): void;
  time(label?: string): void;
  timeLog(label?: string, ...data: any[]): void;
  timeEnd(label?: string): void;
};

type FetchBody = string | ArrayBuffer | ArrayBufferView | URLSearchParams | FormData | Blob | null;
type FetchHeaders = Headers | { [name: string]: string | string[] } | Iterable<[string, string]>;
interface FetchOptions {
  method?: string;
  headers?: FetchHeaders;
  body?: FetchBody;
  redirect?: 'follow' | 'manual' | 'error';
  follow?: number;
  /** Milliseconds until the answer's head, and once more for its body. */
  timeout?: number;
  size?: number;
  compress?: boolean;
  signal?: AbortSignal | null;
}
/** As node-fetch 2 has it. Failures are `FetchError`s with `type` and `code`. */
declare function fetch(url: string | URL | Request, options?: FetchOptions): Promise<Response>;
declare class Headers implements Iterable<[string, string]> {
  constructor(init?: FetchHeaders);
  append(name: string, value: string): void;
  delete(name: string): void;
  get(name: string): string | null;
  has(name: string): boolean;
  set(name: string, value: string): void;
  forEach(callback: (value: string, name: string, headers: Headers) => void): void;
  raw(): { [name: string]: string[] };
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}
interface FetchedBody {
  readonly body: any;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
  blob(): Promise<Blob>;
  buffer(): Promise<any>;
  json(): Promise<any>;
  text(): Promise<string>;
}
declare class Request implements FetchedBody {
  constructor(input: string | URL | Request, options?: FetchOptions);
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly redirect: string;
  readonly signal: AbortSignal | null;
  readonly body: any;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
  blob(): Promise<Blob>;
  buffer(): Promise<any>;
  json(): Promise<any>;
  text(): Promise<string>;
  clone(): Request;
}
declare class Response implements FetchedBody {
  constructor(body?: FetchBody, options?: { status?: number; statusText?: string; headers?: FetchHeaders });
  readonly ok: boolean;
  readonly status: number;
  readonly statusText: string;
  readonly url: string;
  readonly redirected: boolean;
  readonly headers: Headers;
  readonly body: any;
  readonly bodyUsed: boolean;
  arrayBuffer(): Promise<ArrayBuffer>;
  blob(): Promise<Blob>;
  buffer(): Promise<any>;
  json(): Promise<any>;
  text(): Promise<string>;
  clone(): Response;
}

declare class FormData {
  append(name: string, value: any, options?: string | { filename?: string; contentType?: string; header?: any; knownLength?: number }): void;
  set(name: string, value: any, filename?: string): void;
  get(name: string): any;
  has(name: string): boolean;
  entries(): IterableIterator<[string, any]>;
  getBoundary(): string;
  getBuffer(): any;
  getHeaders(headers?: object): { [name: string]: string };
}
declare class Blob {
  constructor(parts?: Iterable<any>, options?: { type?: string; endings?: string });
  readonly size: number;
  readonly type: string;
  arrayBuffer(): Promise<ArrayBuffer>;
  slice(start?: number, end?: number, type?: string): Blob;
  text(): Promise<string>;
}
declare class URL {
  constructor(url: string | URL, base?: string | URL);
  static canParse(url: string, base?: string): boolean;
  hash: string;
  host: string;
  hostname: string;
  href: string;
  readonly origin: string;
  password: string;
  pathname: string;
  port: string;
  protocol: string;
  search: string;
  readonly searchParams: URLSearchParams;
  username: string;
  toString(): string;
  toJSON(): string;
}
declare class URLSearchParams implements Iterable<[string, string]> {
  constructor(init?: string | { [name: string]: string } | Iterable<[string, string]>);
  readonly size: number;
  append(name: string, value: string): void;
  delete(name: string, value?: string): void;
  get(name: string): string | null;
  getAll(name: string): string[];
  has(name: string, value?: string): boolean;
  set(name: string, value: string): void;
  sort(): void;
  forEach(callback: (value: string, name: string, params: URLSearchParams) => void): void;
  entries(): IterableIterator<[string, string]>;
  keys(): IterableIterator<string>;
  values(): IterableIterator<string>;
  toString(): string;
  [Symbol.iterator](): IterableIterator<[string, string]>;
}
declare class AbortSignal {
  readonly aborted: boolean;
  readonly reason: any;
  static abort(reason?: any): AbortSignal;
  static timeout(ms: number): AbortSignal;
  addEventListener(type: 'abort', listener: (event: any) => void, options?: { once?: boolean }): void;
  removeEventListener(type: 'abort', listener: (event: any) => void): void;
  throwIfAborted(): void;
}
declare class AbortController {
  readonly signal: AbortSignal;
  abort(reason?: any): void;
}
declare class TextEncoder {
  encode(text?: string): Uint8Array;
  encodeInto(text: string, into: Uint8Array): { read: number; written: number };
}
declare class TextDecoder {
  constructor(label?: string, options?: { fatal?: boolean; ignoreBOM?: boolean });
  decode(bytes?: ArrayBuffer | ArrayBufferView, options?: { stream?: boolean }): string;
}
declare function atob(text: string): string;
declare function btoa(text: string): string;
declare function structuredClone<Value>(value: Value, options?: { transfer?: any[] }): Value;
declare function queueMicrotask(callback: () => void): void;
declare function setTimeout(callback: (...args: any[]) => void, ms?: number, ...args: any[]): any;
declare function setInterval(callback: (...args: any[]) => void, ms?: number, ...args: any[]): any;
declare function setImmediate(callback: (...args: any[]) => void, ...args: any[]): any;
declare function clearTimeout(timer?: any): void;
declare function clearInterval(timer?: any): void;
declare function clearImmediate(timer?: any): void;
declare const performance: { now(): number; readonly timeOrigin: number };
/** Node's crypto. */
// @ts-ignore without @types/node it is any
declare const crypto: typeof import('node:crypto');
// @ts-ignore as above
declare const Buffer: typeof import('node:buffer').Buffer;

// PACKAGES
