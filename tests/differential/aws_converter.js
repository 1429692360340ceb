const { Converter, DocumentClient } = AWS.DynamoDB;
const docs = new DocumentClient({ region: 'us-east-1', convertEmptyValues: true });
const value = { s: 'a', n: -1.5, big: 12345678901234567890, t: true, nil: null, no: undefined, list: [1, 'b', { c: [] }], map: { d: {} }, set: docs.createSet([3, 1, 2]), names: docs.createSet(['x']), raw: Buffer.from('raw'), typed: new Uint8Array([1, 2]), date: new Date(0), empty: '' };
const marshalled = Converter.marshall(value);
const back = Converter.unmarshall(marshalled);
const out = [marshalled, Object.keys(back), back.set.values, back.raw.toString(), Converter.input('x'), Converter.output({ N: '5' }), Converter.unmarshall({ n: { N: '5' } }, { wrapNumbers: true }).n.value];
out.push(Converter.marshall({ e: '', l: [''] }, { convertEmptyValues: true }));
try {
  docs.createSet([1, 'a'], { validate: true });
} catch (error) {
  out.push([error.name, error.code, error.message]);
}
return out;
