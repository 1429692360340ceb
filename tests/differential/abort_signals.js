const seen = [];
const a = new AbortController(); a.signal.addEventListener('abort', (e) => seen.push([e.type, e.target === a.signal, e.isTrusted]), { once: true }); a.signal.onabort = () => seen.push('onabort'); a.abort(); a.abort('again');
seen.push(a.signal.aborted, a.signal.reason.name, a.signal.reason.message, a.signal.reason.code, a.signal.reason instanceof DOMException, a.signal.reason instanceof Error);
const b = new AbortController(); b.abort({ mine: 1 }); seen.push(b.signal.reason); try { b.signal.throwIfAborted(); } catch (e) { seen.push(e); }
seen.push(new AbortController().signal.throwIfAborted(), AbortSignal.abort('why').reason, AbortSignal.abort().reason.name);
const any = AbortSignal.any([new AbortController().signal, b.signal]); seen.push(any.aborted, any.reason); const late = new AbortController(); const both = AbortSignal.any([late.signal]); both.addEventListener('abort', () => seen.push('any fired')); late.abort(1); seen.push(both.reason);
const timeout = AbortSignal.timeout(5); await new Promise((r) => timeout.addEventListener('abort', r)); seen.push(timeout.reason.name, timeout.reason.message, timeout.reason.code);
for (const one of [() => new AbortSignal(), () => AbortSignal.timeout(-1), () => AbortSignal.timeout('x'), () => AbortSignal.any(5), () => AbortController()]) try { one(); seen.push('fine'); } catch (e) { seen.push([e.name, e.code]); }
seen.push(Object.prototype.toString.call(a), Object.prototype.toString.call(a.signal));
return seen;
