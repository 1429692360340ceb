const seen = []; const t = new EventTarget();
const listener = (e) => seen.push(['l', e.type]); t.addEventListener('x', listener); t.addEventListener('x', listener); t.addEventListener('x', { handleEvent(e) { seen.push(['object', this !== undefined, e.type]); } }); t.addEventListener('x', () => seen.push('once'), { once: true });
seen.push(t.dispatchEvent(new Event('x'))); t.removeEventListener('x', listener); t.dispatchEvent(new Event('x'));
t.addEventListener('y', (e) => { e.preventDefault(); seen.push([e.cancelable, e.defaultPrevented, e.bubbles, e.eventPhase, e.target === t, e.currentTarget === t]); e.stopImmediatePropagation(); }); t.addEventListener('y', () => seen.push('not reached')); seen.push(t.dispatchEvent(new Event('y', { cancelable: true, bubbles: true })));
const gone = new AbortController(); t.addEventListener('z', () => seen.push('no'), { signal: gone.signal }); gone.abort(); t.dispatchEvent(new Event('z'));
class Mine extends EventTarget { constructor() { super(); this.v = 1; } } const m = new Mine(); m.addEventListener('e', function () { seen.push(this === m); }); m.dispatchEvent(new Event('e'));
for (const one of [() => t.dispatchEvent({}), () => t.addEventListener('a'), () => new Event(), () => t.addEventListener('a', 5)]) try { one(); seen.push('fine'); } catch (e) { seen.push([e.name, e.code]); }
return seen;
