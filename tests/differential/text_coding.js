const e = new TextEncoder(); const d = new TextDecoder();
const out = [[...e.encode('aé€😀\ud800')], e.encode().length, e.encoding, d.encoding, d.fatal, d.ignoreBOM, d.decode(new Uint8Array([0xef, 0xbb, 0xbf, 0x61, 0xff])), d.decode(), e.encodeInto('a€b', new Uint8Array(4))];
out.push(new TextDecoder('utf-16le').decode(new Uint8Array([0x61, 0, 0x3d, 0xd8])), new TextDecoder('latin1').encoding, new TextDecoder('utf-8', { ignoreBOM: true }).decode(new Uint8Array([0xef, 0xbb, 0xbf])).length);
const s = new TextDecoder(); out.push(s.decode(new Uint8Array([0xe2, 0x82]), { stream: true }), s.decode(new Uint8Array([0xac])));
out.push(new TextDecoder().decode(new Uint8Array([97, 98]).buffer), new TextDecoder().decode(new DataView(new ArrayBuffer(1))));
for (const run of [() => new TextDecoder('nope'), () => new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([0xff]))]) { try { run(); out.push('none'); } catch (error) { out.push(error.name); } }
return out;
