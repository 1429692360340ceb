const seen = [];
for (const label of ['utf-8', 'UTF8', ' utf-16le ', 'utf-16be', 'latin1', 'ascii', 'windows-1252', 'iso-8859-2', 'koi8-r', 'unicode-1-1-utf-8']) seen.push(new TextDecoder(label).encoding);
for (const label of ['nope', '', null, 5]) try { seen.push(new TextDecoder(label).encoding); } catch (e) { seen.push([e.name, e.code, e.message]); }
const bom = new Uint8Array([0xef, 0xbb, 0xbf, 0x61]);
seen.push(new TextDecoder().decode(bom), new TextDecoder('utf-8', { ignoreBOM: true }).decode(bom).length, new TextDecoder().fatal, new TextDecoder('utf-8', { fatal: true }).fatal, new TextDecoder().ignoreBOM);
const d = new TextDecoder(); seen.push([d.decode(new Uint8Array([0xe2, 0x82]), { stream: true }), d.decode(new Uint8Array([0xac, 0x41]), { stream: true }), d.decode()]);
const cut = new TextDecoder(); seen.push(cut.decode(new Uint8Array([0xf0, 0x9f]), { stream: true }) + cut.decode());
for (const bytes of [[0xff], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0xf5, 0x80, 0x80, 0x80], [0xe2, 0x82]]) { seen.push(new TextDecoder().decode(new Uint8Array(bytes))); try { seen.push(new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array(bytes))); } catch (e) { seen.push([e.name, e.code]); } }
seen.push(new TextDecoder('utf-16le').decode(new Uint8Array([0x61, 0, 0x3d, 0xd8, 0, 0xde])), new TextDecoder('latin1').decode(new Uint8Array([0x80, 0xe9])), new TextDecoder('koi8-r').decode(new Uint8Array([0xcd, 0xc9])), new TextDecoder().decode(new Uint16Array([0x6261])), new TextDecoder().decode(new DataView(new ArrayBuffer(1))), new TextDecoder().decode(new ArrayBuffer(0)), new TextDecoder().decode());
try { new TextDecoder().decode('text'); } catch (e) { seen.push([e.name, e.code]); }
return seen;
