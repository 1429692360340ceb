const absent = ['require', 'process', 'global', 'fs', 'path', 'http', 'https', 'os', 'child_process', 'Deno', 'Bun', 'window', 'document', 'self', 'importScripts', 'XMLHttpRequest', 'localStorage', 'alert', '__dirname', '__filename'];
const inOnward = typeof process === 'undefined';
const kinds = absent.map((name) => { try { return (0, eval)(`typeof ${name}`); } catch (e) { return e.name; } });
const use = ['require("fs")', 'process.env', 'global.x', 'fs.readFileSync', 'window.x', 'document.body'].map((code) => { try { (0, eval)(code); return 'fine'; } catch (e) { return [e.name, e.message]; } });
// What Node has of these is its own; here each is as absent as any other unknown name.
return inOnward ? [kinds.every((k) => k === 'undefined'), use.every(([name, message]) => name === 'ReferenceError' && / is not defined$/.test(message))] : [true, true];
