// OpenSSL's queue of errors may still hold those of an earlier script: this takes them out.
try { crypto.createPrivateKey('-'); } catch {}
const told = (e) => [e.name, e.message, e.code ?? null, e.library ?? null, e.reason ?? null];
const shown = (v) => (Buffer.isBuffer(v) ? v.toString('hex') : v instanceof ArrayBuffer ? ['ab', Buffer.from(v).toString('hex')] : typeof v === 'bigint' ? `${v}n` : v === undefined ? 'undefined' : v);
const out = [];
const t = (run) => { try { out.push(shown(run())); } catch (e) { out.push(told(e)); } };
const key = Buffer.alloc(16, 1); const iv = Buffer.alloc(16, 2);
const split = (text, sizes) => sizes.map((size) => { const part = text.slice(0, size); text = text.slice(size); return part; });
const text = 'The quick brown fox jumps over the lazy dog, again and again.';
for (const mode of ['cbc', 'ctr', 'gcm', 'cfb8', 'ofb']) for (const sizes of [[61], [1, 60], [16, 16, 16, 13], [15, 1, 1, 44], [0, 32, 0, 29], [5, 5, 5, 5, 5, 5, 5, 26]]) t(() => {
  const c = crypto.createCipheriv(`aes-128-${mode}`, key, iv);
  const parts = split(text, sizes).map((part) => c.update(part, 'utf8'));
  const sealed = Buffer.concat([...parts, c.final()]);
  const d = crypto.createDecipheriv(`aes-128-${mode}`, key, iv);
  if (mode === 'gcm') d.setAuthTag(c.getAuthTag());
  const opened = split(sealed.toString('latin1'), sizes).map((part) => d.update(part, 'latin1'));
  return [parts.map((part) => part.length), sealed.toString('base64'), opened.map((part) => part.length), Buffer.concat([...opened, d.final()]).toString()];
});
// What a handler returns is cut at 16 KiB.
return JSON.stringify(out).length < 15000 ? out : out.map((entry) => crypto.createHash('md5').update(JSON.stringify(entry)).digest('hex').slice(0, 6));
