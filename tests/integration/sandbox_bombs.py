"""One-liners that no termination of V8's reaches in time, or that end the whole process: bodies of handlers."""

from __future__ import annotations

# V8 does not look whether it should stop.
NEVER_ENDING = {
    "indexOf": "Array.prototype.indexOf.call({ length: 2 ** 53 - 1 }, 1)",
    "includes": "Array.prototype.includes.call({ length: 2 ** 53 - 1 }, 1)",
    "reverse": "Array.prototype.reverse.call({ length: 2 ** 53 - 1 })",
    "indexOf of holes": "const a = []; a.length = 2 ** 32 - 1; a.indexOf(1)",
    "lastIndexOf of holes": "const a = []; a.length = 2 ** 32 - 1; for (;;) a.lastIndexOf(1)",
    "sort of holes": "const a = []; a.length = 2 ** 32 - 1; a.sort()",
    "search of a long text": "const a = 'a'.repeat(2 ** 24), b = 'b' + 'a'.repeat(2 ** 23); for (;;) a.indexOf(b)",
}
# V8 looks, seconds later.
LATE = {
    "fill what is no array": "Array.prototype.fill.call({ length: 2 ** 53 - 1 })",
    "normalize": "'\\u0344'.repeat(2 ** 22).normalize('NFC'); for (;;) '\\u0344'.repeat(2 ** 20).normalize('NFC')",
    "product of large numbers": "let x = 3n ** 200000n; for (;;) (x * x) % 7n",
    "JSON": "const t = '[' + '1,'.repeat(2e6) + '1]'; for (;;) JSON.parse(t)",
    "spin of microtasks": "for (;;) await null",
    "chain of promises": "const f = () => { Promise.resolve().then(f) }; await new Promise(f)",
    "loop after await": "await null; for (;;);",
}
# The process ends, by a trap of V8's or by the limits of its memory.
ENDING = {
    "split": "return 'a'.repeat(2 ** 28).split('').length",
    "spread": "const a = new Array(2 ** 25).fill(1.1); return [...a, ...a, ...a, ...a].length",
    # The long separators make it end long before its second of CPU is used up.
    "typed arrays": "const a = []; for (;;) a.push(new Float64Array(2 ** 21).fill(1).toSorted().join('--------'))",
}
# Which event of a batch it was is not known where they are not told apart and it has got beyond its own turn.
AFTER_ITS_TURN = frozenset({"spin of microtasks", "chain of promises", "loop after await"})
