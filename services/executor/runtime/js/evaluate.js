// Evaluates a bundled text in the global scope (see build.mjs: `text:`).
export const evaluate = globalThis.eval;
