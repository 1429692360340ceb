// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
const key = Buffer.alloc(16, 3); const iv = Buffer.alloc(16, 4);
for (const mode of ['cbc', 'ecb']) for (const size of [0, 5, 16, 32]) {
  const start = mode === 'ecb' ? '' : iv;
  t(() => { const c = crypto.createCipheriv(`aes-128-${mode}`, key, start).setAutoPadding(false); return Buffer.concat([c.update(Buffer.alloc(size)), c.final()]); });
  t(() => { const c = crypto.createDecipheriv(`aes-128-${mode}`, key, start).setAutoPadding(false); return Buffer.concat([c.update(Buffer.alloc(size)), c.final()]); });
  if (size) t(() => { const c = crypto.createDecipheriv(`aes-128-${mode}`, key, start); return [shown(c.update(Buffer.alloc(size))), shown(c.final())]; });
}
t(() => { const c = crypto.createCipheriv('aes-128-cbc', key, iv); return c.setAutoPadding() === c; });
t(() => { const c = crypto.createCipheriv('aes-128-cbc', key, iv); c.setAutoPadding(0); c.update('a'); return c.final(); });
t(() => { const c = crypto.createCipheriv('aes-128-cbc', key, iv); c.final(); return c.setAutoPadding(); });
t(() => { const c = crypto.createCipheriv('aes-128-cbc', key, iv); c.final(); return c.final(); });
t(() => { const c = crypto.createCipheriv('aes-128-cbc', key, iv); c.final(); return c.update('a'); });
t(() => { const c = crypto.createDecipheriv('aes-128-cbc', key, iv); c.update('a'); try { c.final(); } catch {} return c.final(); });
t(() => { const c = crypto.createDecipheriv('aes-128-cbc', Buffer.alloc(16, 9), iv); c.update(crypto.createCipheriv('aes-128-cbc', key, iv).update(Buffer.alloc(32))); return c.final(); });
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
