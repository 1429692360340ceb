const b = Buffer.alloc(16);
const seen = [];
b.writeUInt8(200, 0); b.writeInt8(-3, 1); b.writeUInt16LE(60000, 2); b.writeUInt16BE(60000, 4); b.writeInt32LE(-123456789, 6); b.writeUInt32BE(4000000000, 10);
seen.push(b.toString('hex'), b.readUInt8(0), b.readInt8(1), b.readUInt16LE(2), b.readUInt16BE(4), b.readInt32LE(6), b.readUInt32BE(10));
b.writeDoubleBE(Math.PI, 0); b.writeFloatLE(1.5, 8); seen.push(b.toString('hex'), b.readDoubleBE(0), b.readFloatLE(8), b.readDoubleLE(0), b.readFloatBE(8));
b.writeBigUInt64LE(2n ** 63n, 0); b.writeBigInt64BE(-5n, 8); seen.push(b.toString('hex'), String(b.readBigUInt64LE(0)), String(b.readBigInt64BE(8)));
b.writeUIntBE(0x123456789abc, 0, 6); b.writeIntLE(-0x1234, 6, 3); seen.push(b.toString('hex'), b.readUIntBE(0, 6), b.readIntLE(6, 3), b.readUIntLE(0, 3), b.readIntBE(0, 5));
seen.push(b.writeUInt8(1), b.writeUInt16LE(1, 2), b.readUint8(0), b.readUint16LE(2));
const failing = [() => b.readUInt8(16), () => b.readInt32LE(13), () => b.writeUInt8(256), () => b.writeInt8(-129), () => b.readUInt8('1'), () => b.readUInt8(1.5), () => b.writeUInt32BE(-1), () => b.readUIntBE(0, 7), () => b.readDoubleLE(9)];
for (const one of failing) try { seen.push(one()); } catch (e) { seen.push([e.name, e.code, e.message]); }
return seen;
