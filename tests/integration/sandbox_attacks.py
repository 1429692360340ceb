"""What hostile scripts try from inside the isolate, one by one; docs/security.md has the table.

`python -m tests.integration.sandbox_attacks` prints it. Each script defines `attack(e)`, which returns what it has got
hold of: an empty array where that is nothing. Beside it runs an event that fails for good reasons and one that succeeds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Attack:
    """`tries` says what, in the words of the table; `answer` what stops it."""

    name: str
    tries: str
    answer: str
    code: str


# Captured first, as the libraries of a careful author would do it: what an attack replaces then harms the attack alone.
SCRIPT = """
const Real = RetryError, mark = { n: [] };
const source = ((f) => (x) => f.call(x))(Function.prototype.toString), own = Reflect.ownKeys, at = Reflect.get;
const isOurs = (f) => typeof f === 'function' && !/\\[native code\\]/.test(`${f}`) && !script().includes(`${f}`);
const script = () => TEXT;
%s
async function onTrack(e) {
  if (e.n === 0) {
    const loot = await attack(e);
    let text = 'nothing';
    for (let i = 0; i < loot.length; i += 1) text = (i === 0 ? 'got ' : text + ' | ') + loot[i];
    return text;
  }
  await null;
  if (e.n === 1) throw new Real('real');
  return 'real';
}
// console
"""

# What no script may see: attempts, records, the pump, the buffer that Python shares, modules that bring all of it.
HOST = (
    "const HOST = ['seq', 'handler', 'lastAtEnd', 'fetchesRunning', 'addRecord', 'enqueueTurn', 'nextTurn', 'bindSync',"
    " 'startEach', 'trapped', 'records'];"
    "const isHosts = (o) => { try { return o !== null && (typeof o === 'object' || typeof o === 'function')"
    " && HOST.some((k) => k in o) } catch { return false } };"
    "const isShared = (o) => { try { return o instanceof ArrayBuffer && (o.byteLength === 1048592 || o.byteLength === 262144) }"
    " catch { return false } };"
    "const TOUCH = [() => new URL('http://a.test/?b=c'), () => Buffer.from('x').toString('hex'), () => new Headers({ a: 'b' }),"
    " () => new Request('https://a.test/'), () => crypto.createHash('md5').update('x').digest('hex'),"
    " () => crypto.randomUUID(), () => new TextDecoder().decode(new Uint8Array(3)), () => new FormData().append('a', 'b'),"
    " () => structuredClone({ a: [1] }), () => console.log({ a: new Map([[1, 2]]) }, '%s', 1), () => atob(btoa('x')),"
    " () => new AbortController().abort(), () => new Blob(['x']), () => cache.load('k', 1000, async () => 1),"
    " () => cache.delete('k'), () => setTimeout(() => {}, 1), () => clearTimeout(setInterval(() => {}, 1)),"
    " () => queueMicrotask(() => {}), () => { fetch('https://a.test/').catch(() => {}) },"
    " () => console.table([{ a: 1 }]), () => console.count('x'), () => new EventTarget().dispatchEvent(new Event('x'))];"
    "const touchAll = () => { for (let i = 0; i < TOUCH.length; i += 1) try { const r = TOUCH[i]();"
    " if (r && r.catch) r.catch(() => {}) } catch {} };"
)

ATTACKS = [
    Attack(
        "constructor chain",
        "`this.constructor.constructor('return process')()`, and the same of every kind of function",
        "there is no `process`, `require` or `global` in the isolate",
        """
        function attack() {
          const got = [];
          for (const f of [function () {}, async () => {}, function* () {}, async function* () {}, Math.max, class {}, setTimeout])
            for (const name of ['process', 'require', 'global', 'module.require', 'Deno', 'onward'])
              try { const r = f.constructor('return typeof ' + name)(); const v = r.next ? null : r; if (v !== null && v !== 'undefined' && !v.then) got.push(name) } catch {}
          try { got.push(this.constructor.constructor('return process')()) } catch {}
          return got;
        }""",
    ),
    Attack(
        "import",
        "`import()` of modules, files, data and URLs",
        "nobody answers for modules: it is refused",
        """
        async function attack() {
          const got = [];
          for (const name of ['fs', 'node:fs', 'file:///etc/passwd', 'data:text/javascript,export default 1', './prelude.js', 'https://a.test/x.js'])
            try { await import(name); got.push(name) } catch {}
          return got;
        }""",
    ),
    Attack(
        "call sites",
        "`Error.prepareStackTrace` for `getThis` and `getFunction` of our frames",
        "a formatter gets the frames of the script alone",
        """
        const seen = [];
        Error.prepareStackTrace = (error, sites) => { for (const site of sites) seen.push(site); return 'x' };
        async function attack() {
          const got = [];
          const look = () => { void new Error().stack };
          look(); JSON.stringify({ toJSON: look }); await null; look();
          await new Promise((done) => setTimeout(() => { look(); done() }, 1));
          try { new URL({ toString: look }) } catch {}
          try { console.log({ [Symbol.for('nodejs.util.inspect.custom')]: look }) } catch {}
          try { new URL('nonsense') } catch (e) { void e.stack }
          for (const site of seen) {
            const name = site.getFileName() ?? site.getScriptNameOrSourceURL();
            if (String(site).includes('onward:')) got.push(String(site));
            for (const value of [site.getThis(), site.getFunction()]) if (isOurs(value)) got.push(source(value).slice(0, 50));
          }
          return got;
        }""",
    ),
    Attack(
        "stacks",
        "`stack` of errors that are thrown in our code, with all frames, for names of ours and paths of the machine",
        "our frames are left out, the asynchronous ones too",
        """
        async function attack() {
          Error.stackTraceLimit = Infinity;
          const got = [];
          const tries = [() => new URL('nonsense'), () => Buffer.from(5), () => setTimeout('x'), () => fetch('nonsense'), () => new Headers(5),
            () => crypto.createHash('nonsense'), () => structuredClone(() => {}), () => new AbortController().signal.throwIfAborted.call(5),
            () => atob('%'), () => cache.load('k', 1, 5), () => new Blob(5), () => JSON.parse('{'), () => queueMicrotask(5), () => eval('('), () => null.x];
          for (const f of tries) try { await f() } catch (e) { if (/onward:|prelude|\\.py|\\/(?!\\/a\\.test)[a-z]+\\//.test(e.stack.replace(/https?:\\S*/g, ''))) got.push(e.stack) }
          return got;
        }""",
    ),
    Attack(
        "prepareStackTrace throws",
        "a formatter that throws, a `stackTraceLimit` that is a getter",
        "errors are read under guard; only what they say is lost",
        """
        Error.prepareStackTrace = () => { throw new Error('formatter') };
        Object.defineProperty(Error, 'stackTraceLimit', { get() { throw 1 }, configurable: true });
        function attack() { return [] }""",
    ),
    Attack(
        "caller",
        "`arguments.callee.caller` and `Function.prototype.caller` in everything that we call back",
        "our code is strict, so `caller` is null",
        """
        const got = [];
        function look() { let f = look.caller; for (let i = 0; f && i < 9; i += 1) { if (isOurs(f)) got.push(source(f).slice(0, 60)); try { f = f.caller } catch { break } } }
        function outer() { const f = arguments.callee.caller; if (isOurs(f)) got.push(source(f).slice(0, 60)); look(); return 'x' }
        async function attack() {
          outer();
          try { JSON.stringify({ toJSON: outer }) } catch {}
          for (const f of [() => new URL({ toString: outer }), () => Buffer.from({ valueOf: outer, [Symbol.toPrimitive]: outer }),
            () => console.log({ [Symbol.for('nodejs.util.inspect.custom')]: outer }), () => new Headers({ [Symbol.iterator]: outer }),
            () => fetch({ toString: outer, get url() { return outer() } }), () => fetch('https://a.test/', { get method() { return outer() }, get headers() { outer() } }),
            () => crypto.createHash({ toString: outer }), () => setTimeout({ [Symbol.toPrimitive]: outer }, 1), () => setTimeout(() => {}, { valueOf: outer }),
            () => structuredClone({ get x() { return outer() } }), () => new TextDecoder({ toString: outer }), () => new Blob({ [Symbol.iterator]: outer }),
            () => cache.load({ toString: outer }, { valueOf: outer }, outer), () => console.table([{ get a() { return outer() } }]),
            () => new URLSearchParams({ get a() { return outer() } }), () => btoa({ toString: outer })])
            try { const r = f(); if (r && r.then) r.then(outer, outer) } catch {}
          await { then(done) { outer(); done() } };
          await new Promise((done) => setTimeout(function () { outer(); done() }, 1));
          return got;
        }""",
    ),
    Attack(
        "arguments of the script",
        "the third argument of the function that the script is the body of, now and later",
        "it only tells where the handlers are, and is not asked again",
        """
        const tell = arguments[2];
        function attack() { try { tell(() => () => 'forged') } catch {} return isHosts(tell) ? ['host'] : [] }
        """
        + HOST,
    ),
    Attack(
        "defineProperty",
        "`Object.defineProperty` replaced before modules are loaded that call it for what they share",
        "modules get capabilities of the attempt that runs, and nothing else of ours",
        HOST
        + """
        const seen = []; const real = Object.defineProperty, realAll = Object.defineProperties;
        Object.defineProperty = function (o, k, d) { seen.push(o, d, d && d.value); try { seen.push(d.get && d.get()) } catch {} return real(o, k, d) };
        Object.defineProperties = function (o, d) { seen.push(o, d); return realAll(o, d) };
        async function attack() { touchAll(); await null; touchAll(); return seen.filter((o) => isHosts(o) || isShared(o)).map(String) }""",
    ),
    Attack(
        "what V8 had",
        "`Object.create` and its kin replaced, for the table of V8's own globals that `inspect` uses",
        "WebAssembly, SharedArrayBuffer and Atomics are in no table",
        HOST
        + """
        const seen = [];
        for (const name of ['create', 'assign', 'getOwnPropertyDescriptors', 'getOwnPropertyNames', 'keys', 'getPrototypeOf', 'freeze', 'entries', 'fromEntries']) {
          const real = Object[name];
          Object[name] = function (...all) { seen.push(...all); const made = real(...all); seen.push(made); return made };
        }
        async function attack() {
          touchAll();
          const got = [];
          for (const o of seen) for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics'])
            try { const d = o && (typeof o === 'object' || typeof o === 'function') ? o[name] : undefined; const v = d && typeof d === 'object' && 'value' in d ? d.value : d; if (v && own(v).length) got.push(name) } catch {}
          return got.concat(seen.filter((o) => isHosts(o) || isShared(o)).map(String));
        }""",
    ),
    Attack(
        "call, apply, bind",
        "`Function.prototype.call`, `apply`, `bind` and `Reflect.*` replaced, for what they are called with",
        "what was captured before is called",
        HOST
        + """
        const seen = []; const R = Reflect.apply;
        for (const name of ['call', 'apply', 'bind']) { const real = Function.prototype[name]; Function.prototype[name] = function (...all) { seen.push(this, ...all); return R(real, this, all) } }
        for (const name of ['apply', 'construct', 'get', 'set', 'ownKeys', 'defineProperty', 'has']) { const real = Reflect[name]; Reflect[name] = function (...all) { seen.push(...all); return real(...all) } }
        async function attack() { touchAll(); await null; touchAll(); return seen.filter((o) => isHosts(o) || isShared(o)).map((o) => 'host') }""",
    ),
    Attack(
        "maps and sets",
        "methods of Map, Set, WeakMap and WeakSet replaced, for the attempts that are kept in them",
        "attempts are kept by captured methods, and modules know them by tokens",
        HOST
        + """
        const seen = []; const R = Reflect.apply;
        const search = (o, depth) => { if (isHosts(o)) return true; if (!o || typeof o !== 'object' || depth > 2) return false; for (const k of own(o)) try { if (search(o[k], depth + 1)) return true } catch {} return false };
        for (const Type of [Map, Set, WeakMap, WeakSet]) for (const name of ['get', 'set', 'has', 'add', 'delete', 'forEach', 'keys', 'values', 'entries']) {
          const real = Type.prototype[name]; if (!real) continue;
          Type.prototype[name] = function (...all) { for (const one of all) seen.push(one); const r = R(real, this, all); seen.push(r); return r };
        }
        async function attack() { touchAll(); await null; touchAll(); return seen.filter((o) => search(o, 0) || isShared(o)).map(() => 'host') }""",
    ),
    Attack(
        "setters of Object.prototype",
        "setters and getters on `Object.prototype` under all names of fields of ours",
        "objects of ours inherit from nothing",
        HOST
        + """
        const seen = [];
        const names = ['owner', 'attempt', 'run', 'next', 'done', 'settle', 'promise', 'resume', 'callback', 'wake', 'waiting', 'key', 'state', 'callAtEnd', 'logs', 'event', 'detail', 'payload', 'kind', 'id', 'timer', 'sibling', ...HOST];
        for (const name of names) Object.defineProperty(Object.prototype, name, { configurable: true,
          get() { if (this !== Object.prototype) seen.push(this); return undefined }, set(v) { seen.push(this, v) } });
        async function attack() { touchAll(); await null; touchAll();
          for (const name of names) delete Object.prototype[name];
          return seen.filter((o) => isHosts(o) || isShared(o)).map(() => 'host') }""",
    ),
    Attack(
        "setters of Array.prototype",
        "setters on `Array.prototype[0]` to `[99]`, and its methods and iterator replaced",
        "nothing of ours is stored into an array",
        HOST
        + """
        const seen = []; const R = Reflect.apply;
        for (let i = 0; i < 100; i += 1) Object.defineProperty(Array.prototype, i, { configurable: true, get() { return undefined }, set(v) { seen[seen.length] = v } });
        for (const name of ['push', 'pop', 'shift', 'map', 'filter', 'forEach', 'join', 'slice', 'concat', 'every', 'reduce', 'indexOf']) {
          const real = Array.prototype[name]; Array.prototype[name] = function (...all) { seen[seen.length] = this; return R(real, this, all) };
        }
        const iterate = Array.prototype[Symbol.iterator];
        Array.prototype[Symbol.iterator] = function () { seen[seen.length] = this; return R(iterate, this, []) };
        async function attack() { try { touchAll() } catch {} await null;
          for (let i = 0; i < seen.length; i += 1) if (isHosts(seen[i]) || isShared(seen[i])) return ['host'];
          return [] }""",
    ),
    Attack(
        "species of bytes",
        "`Symbol.species` and `constructor` of typed arrays, for the buffer through which Python is called",
        "no method is called on it that asks for a species",
        HOST
        + """
        const seen = []; const Real8 = Uint8Array;
        try { crypto.randomUUID(); Buffer.from('x'); crypto.createHash('md5') } catch {}
        class Spy extends Real8 { constructor(...all) { super(...all); seen.push(all[0], this.buffer) } }
        function attack() {
          const before = Object.getOwnPropertyDescriptor(Real8.prototype, 'constructor');
          crypto.randomUUID();
          Object.defineProperty(Real8.prototype, 'constructor', { configurable: true, get() { return { [Symbol.species]: Spy } } });
          try { crypto.randomUUID() } catch {}
          try { crypto.createHash('md5').update('x').digest() } catch {}
          Object.defineProperty(Real8.prototype, 'constructor', before);
          return seen.filter(isShared).map((o) => 'the shared buffer');
        }""",
    ),
    Attack(
        "methods of bytes",
        "methods and getters of typed arrays and ArrayBuffer replaced, for the same buffer",
        "they were captured before",
        HOST
        + """
        const seen = []; const R = Reflect.apply; const Base = Object.getPrototypeOf(Uint8Array.prototype);
        for (const proto of [Base, ArrayBuffer.prototype, DataView.prototype]) for (const name of own(proto)) {
          const d = Object.getOwnPropertyDescriptor(proto, name);
          if (name === 'constructor' || !d.configurable) continue;
          if (typeof d.value === 'function') Object.defineProperty(proto, name, { ...d, value: function (...all) { seen.push(this, ...all); try { seen.push(this.buffer) } catch {} return R(d.value, this, all) } });
          else if (d.get && name !== 'buffer' && name !== 'byteLength') Object.defineProperty(proto, name, { ...d, get() { seen.push(this); return R(d.get, this, []) } });
        }
        function attack() { touchAll(); return seen.filter((o) => isShared(o) || isShared(o?.buffer)).map(() => 'the shared buffer') }""",
    ),
    Attack(
        "species of promises",
        "`Symbol.species`, `constructor` and `then` of Promise, for the functions that settle the host's promises",
        "`await` on a native promise uses none of them",
        HOST
        + """
        const seen = []; const R = Reflect.apply; const realThen = Promise.prototype.then; const Native = Promise;
        class Spy extends Native { constructor(f) { super((a, b) => { seen.push(a, b); f(a, b) }) } }
        Object.defineProperty(Native, Symbol.species, { get() { return Spy } });
        Native.prototype.then = function (...all) { seen.push(this, ...all); return R(realThen, this, all) };
        async function attack() { touchAll(); await null; return seen.filter((o) => isHosts(o)).map(() => 'host') }""",
    ),
    Attack(
        "another Promise",
        "`Promise`, `Promise.resolve`, `Error`, `Map`, `JSON` and `Date` put out of the way",
        "what was captured before is used",
        """
        JSON.stringify = () => '{"value":"forged"}'; JSON.parse = () => ({ n: 1, t: ['onTrack'], c: [1], e: [] });
        Promise.resolve = Promise.reject = Promise.all = () => 'forged'; Date.now = () => 0; Reflect.apply = () => 'forged';
        globalThis.Promise = globalThis.Error = globalThis.Map = globalThis.JSON = globalThis.Date = globalThis.Reflect = undefined;
        function attack() { return [] }""",
    ),
    Attack(
        "then of everything",
        "`Object.prototype.then`, so that each object that is awaited or resolved with is one of the attacker's",
        "events that give objects away are the attacker's own",
        """
        let times = 0;
        Object.defineProperty(Object.prototype, 'then', { configurable: true, get() { times += 1; return undefined }, set() {} });
        function attack() { return [] }""",
    ),
    Attack(
        "regular expressions",
        "`RegExp.prototype.exec`, `test`, `Symbol.replace`, `split`, `match` replaced before URL, fetch, console and Buffer use them",
        "strings of the event alone pass through them",
        HOST
        + """
        const seen = []; const R = Reflect.apply;
        for (const name of ['exec', 'test', Symbol.replace, Symbol.split, Symbol.match, Symbol.matchAll, Symbol.search]) {
          const real = RegExp.prototype[name]; RegExp.prototype[name] = function (...all) { seen.push(this, ...all); return R(real, this, all) };
        }
        async function attack() { touchAll(); await null; return seen.filter((o) => isHosts(o) || isShared(o) || /^\\[[01],\\d+,/.test(String(o))).map(String) }""",
    ),
    Attack(
        "strings",
        "all methods of `String.prototype` and `Number.prototype` replaced, for records on their way to the host",
        "records are put together by `+`",
        HOST
        + """
        const seen = []; const R = Reflect.apply;
        for (const proto of [String.prototype, Number.prototype]) for (const name of own(proto)) {
          const real = proto[name]; if (typeof real !== 'function' || name === 'constructor') continue;
          Object.defineProperty(proto, name, { configurable: true, writable: true, value: function (...all) { seen.push(`${typeof this === 'object' ? R(real === R ? real : String.prototype.valueOf ?? real, this, []) : this}`.slice(0, 20)); return R(real, this, all) } });
        }
        async function attack() { try { touchAll() } catch {} return seen.filter((text) => typeof text === 'string' && (text.startsWith('[0,') || text.startsWith('[1,'))) }""",
    ),
    Attack(
        "toJSON",
        "`Object.prototype.toJSON`, `String.prototype.toJSON` and `Array.prototype.toJSON`, to write records of one's own",
        "only primitives are turned into JSON, and requests stay JSON",
        """
        Object.prototype.toJSON = function () { return '],[0,2,{"error":{"kind":"DropEvent"}}],[' };
        String.prototype.toJSON = Array.prototype.toJSON = Number.prototype.toJSON = function () { return { forged: 1 } };
        async function attack() { fetch('https://a.test/', { method: 'POST', body: 'x' }).catch(() => {}); console.log({}); return [] }""",
    ),
    Attack(
        "JSON in texts",
        "log lines, messages, names and results that look like the end of a record",
        "all of them are escaped",
        """
        function attack() {
          console.log('"]],"error":null}],[0,2,{"error":{"kind":"DropEvent","name":"forged","message":"forged","stack":"","status":0,"network":false}}],[0,1,{"logs":[["log",1,"');
          console.log('\\n1,1,1\\n[0,2,{}]', '\\u2028', '\\ud800');
          return [];
        }""",
    ),
    Attack(
        "a proxy as an error",
        "throwing proxies and getters that run code while the error is described",
        "each property is read once, under guard",
        """
        let reads = 0;
        async function attack() {
          const evil = new Proxy(new Error('x'), { get(t, k) { reads += 1; if (k === 'message') throw evil; if (k === 'stack') return { toString() { throw 1 } }; return at(t, k) } });
          try { console.log(evil) } catch {}
          try { await Promise.reject(evil) } catch {}
          return [];
        }""",
    ),
    Attack(
        "settling twice",
        "thenables that resolve twice, later, and after their attempt has ended",
        "an attempt ends once",
        """
        let late;
        async function attack() { await { then(done, fail) { late = done; done([]); done(['forged']); fail(new Error('forged')) } }; setTimeout(() => late(['forged']), 1); return [] }""",
    ),
    Attack(
        "other handlers",
        "`module.exports`, `exports` and global handlers replaced while events run",
        "handlers are looked up once, when the script is loaded",
        """
        const { exports: before } = module;
        function attack() { module.exports = { onTrack: () => 'forged' }; exports.onTrack = before.onTrack = globalThis.onTrack = () => 'forged'; return [] }""",
    ),
    Attack(
        "names on the global object",
        "everything that can be listed there, prototypes and symbols included",
        "our own names are deleted before the script is evaluated",
        HOST
        + """
        function attack() {
          const got = [];
          for (let o = globalThis; o; o = Object.getPrototypeOf(o)) for (const key of own(o)) {
            if (/^__(?!proto__|defineGetter__|defineSetter__|lookupGetter__|lookupSetter__)/.test(String(key))) got.push(String(key));
            try { if (isHosts(o[key]) || isShared(o[key])) got.push(String(key)) } catch {}
          }
          return got;
        }""",
    ),
    Attack(
        "what is absent",
        "WebAssembly, SharedArrayBuffer and Atomics by name, by `Function`, by `structuredClone` and by `Intl`",
        "they are deleted, and nothing else gives them",
        """
        function attack() {
          const got = [];
          for (const name of ['WebAssembly', 'SharedArrayBuffer', 'Atomics', 'Worker', 'ShadowRealm', 'd8', 'load', 'print', 'read', 'quit'])
            if (name in globalThis || Function('return typeof ' + name)() !== 'undefined') got.push(name);
          return got;
        }""",
    ),
    Attack(
        "finalizers",
        "callbacks of `FinalizationRegistry`, which V8 runs when no attempt does",
        "they are never called",
        """
        let called = 0; const registry = new FinalizationRegistry(() => { called += 1 });
        class Mine extends FinalizationRegistry {} const mine = new Mine(() => { called += 1 });
        async function attack() {
          for (let i = 0; i < 2e5; i += 1) { registry.register({ i }, i); if (i % 9 === 0) mine.register({ i }, i) }
          for (let i = 0; i < 2e6; i += 1) mark.n = [i, { i }];
          await new Promise((done) => setTimeout(done, 20));
          return called || registry.constructor !== FinalizationRegistry ? ['called'] : [];
        }""",
    ),
    Attack(
        "pollution by data",
        "an event and JSON with `__proto__`, `constructor` and `toString`",
        "it is data: nothing is merged into prototypes",
        """
        function attack(e) { const got = []; if ({}.polluted !== undefined || [].polluted !== undefined) got.push('polluted'); if (!Object.hasOwn(e, '__proto__') || e.__proto__.polluted !== 1) got.push('changed'); return got }""",
    ),
    Attack(
        "names of source",
        "`sourceURL` and `sourceMappingURL` with our names and paths of the machine",
        "V8 opens no files, and neither do we",
        """
        function attack() {
          const got = [];
          for (const name of ['onward:prelude', 'function.js', '/etc/passwd', 'file:///proc/self/environ'])
            try { const s = eval(`(() => { throw new Error('x') })\\n//# sourceURL=${name}\\n//# sourceMappingURL=${name}`); try { s() } catch (e) { if (/root:|PATH=/.test(e.stack)) got.push(e.stack) } } catch {}
          return got;
        }""",
    ),
    Attack(
        "detached buffers",
        "`transfer()` and `resize()` on buffers that came from `crypto`, `Buffer` and encoders, then the same calls again",
        "they are copies",
        """
        function attack() {
          const got = [];
          const before = crypto.createHash('md5').update('x').digest('hex');
          for (const bytes of [crypto.randomBytes(16), Buffer.from('x'), Buffer.alloc(4), new TextEncoder().encode('x'), crypto.createHash('md5').update('x').digest()])
            try { bytes.buffer.transfer(0) } catch {}
          try { if (crypto.createHash('md5').update('x').digest('hex') !== before) got.push('another digest') } catch (e) { got.push(String(e)) }
          return got;
        }""",
    ),
    Attack(
        "lengths that lie",
        "objects with false `length`, getters and negative offsets given to `crypto`, `Buffer` and encoders",
        "sizes are read from the buffers themselves",
        """
        function attack() {
          const lying = Object.defineProperty(new Uint8Array(4), 'length', { value: 2 ** 16 }); const short = Object.defineProperty(Buffer.from('abcd'), 'byteLength', { value: 2 ** 16 });
          for (const bytes of [lying, short, { length: 2 ** 16 }, new Proxy(new Uint8Array(4), {}), { buffer: new ArrayBuffer(4), byteOffset: -9, byteLength: 2 ** 16 }])
            for (const f of [() => crypto.createHash('md5').update(bytes).digest(), () => crypto.createHmac('md5', bytes).update(bytes).digest(), () => Buffer.concat([bytes], 8), () => new TextDecoder().decode(bytes), () => crypto.timingSafeEqual(bytes, bytes)])
              try { f() } catch {}
          return crypto.createHash('md5').update('x').digest('hex') === '9dd4e461268c8034f5c8564e155c67a6' ? [] : ['broken'];
        }""",
    ),
    Attack(
        "timers of others",
        "`clearTimeout` of every number, and timers with objects as callback, delay and arguments",
        "numbers are all that comes of it; a callback must be a function",
        """
        function attack() {
          for (let i = 0; i < 1e4; i += 1) clearTimeout(i);
          for (const callback of ['code', {}, null, { call() {} }]) try { setTimeout(callback, 1) } catch {}
          for (const delay of [-1, NaN, Infinity, 2 ** 40, {}, '7']) clearTimeout(setTimeout(() => {}, delay));
          return [];
        }""",
    ),
    Attack(
        "keys of the cache",
        "`cache.load` with `__proto__`, with keys that throw, and with flights that never land",
        "keys are strings in a map of ours; a flight ends with its attempt",
        """
        async function attack() {
          const got = [];
          for (const key of ['__proto__', 'constructor', 'hasOwnProperty']) if (await cache.load(key, 1000, async () => 7) !== 7) got.push(key);
          try { cache.load({ toString() { throw 1 } }, 1, async () => 1) } catch {}
          cache.load('never', 1e9, () => new Promise(() => {}));
          if (Reflect.set(cache, 'load', 1)) got.push('replaced');
          return got;
        }""",
    ),
    Attack(
        "fine clocks",
        "`Date`, `performance`, `Temporal` and events for a clock finer than a millisecond",
        "all of them count whole milliseconds",
        """
        function attack() {
          const got = [];
          for (let i = 0; i < 5000; i += 1) {
            if (performance.now() % 1) got.push('performance');
            if (Temporal.Now.instant().epochNanoseconds % 1000000n) got.push('Temporal');
            if (new Event('x').timeStamp % 1) got.push('Event');
            if (got.length) break;
          }
          return got;
        }""",
    ),
    Attack(
        "classes of ours",
        "`RetryError.prototype`, `Symbol.hasInstance` and `Object.prototype.isPrototypeOf` replaced, so that failures of others pass",
        "classes are told apart by captured prototypes",
        """
        Object.prototype.isPrototypeOf = () => true;
        for (const Type of [RetryError, DropEvent, ValidationError]) Object.defineProperty(Type, Symbol.hasInstance, { value: () => true });
        try { RetryError.prototype = DropEvent.prototype } catch {}
        globalThis.RetryError = globalThis.DropEvent = class {};
        function attack() { return [] }""",
    ),
]


def script_of(attack: Attack) -> str:
    """The whole script, its own text included, by which it tells functions of its own."""
    code = SCRIPT % attack.code
    return code.replace("TEXT", repr_js(code), 1)


def repr_js(text: str) -> str:
    """A literal."""
    import json

    return json.dumps(text)


def table() -> str:
    """The rows for docs/security.md."""
    return "\n".join(f"| {attack.tries} | {attack.answer} |" for attack in ATTACKS)


if __name__ == "__main__":
    print(table())
