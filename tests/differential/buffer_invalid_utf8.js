const bytes = ['ff', 'c3', 'e282', 'f09f98', 'eda080', 'c080', 'f4908080', '61c362', 'e28261', 'efbbbf61', 'f0808080', '80', 'fefe'];
return [bytes.map((h) => Buffer.from(h, 'hex').toString()), Buffer.from('\ud800a\udc00').toString('hex'), Buffer.byteLength('\ud800')];
