const c = new AbortController(); const seen = [];
c.signal.addEventListener('abort', (e) => seen.push(['listener', e.type, e.target === c.signal])); c.signal.onabort = () => seen.push('onabort');
const before = c.signal.aborted; c.abort(); c.abort('again');
const custom = AbortSignal.abort('why'); const any = AbortSignal.any([new AbortController().signal, custom]);
let thrown; try { c.signal.throwIfAborted(); } catch (e) { thrown = [e.name, e.message, e.code]; }
console.log(c.signal, new AbortController());
try { await fetch('http://127.0.0.1:9/', { signal: c.signal }); } catch (e) { seen.push([e.name, e.message, e.type]); }
return [before, c.signal.aborted, seen, thrown, custom.reason, any.aborted, any.reason, Object.prototype.toString.call(c.signal)];
