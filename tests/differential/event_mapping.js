const event = { type: 'track', event: 'Order Completed', userId: 'u-1', timestamp: '2024-02-29T13:05:09.045Z', properties: { total: '49.90', currency: 'eur', products: [{ sku: 'A-1', price: 19.95, quantity: 2 }, { sku: 'B', price: 10 }], coupon: null }, context: { ip: '203.0.113.9', traits: { email: ' Ada@Example.COM ' } } };
const { properties: { products = [], ...rest }, context: { traits: { email } = {} } = {} } = event;
const money = (x) => Math.round(Number(x) * 100);
const lines = products.map(({ sku, price, quantity = 1 }, i) => ({ position: i + 1, sku: sku.toLowerCase(), cents: money(price) * quantity }));
const mapped = { id: `${event.userId}:${Date.parse(event.timestamp)}`, name: event.event.toLowerCase().replace(/\s+/g, '_'), email: email.trim().toLowerCase(), day: event.timestamp.slice(0, 10), total: money(rest.total), currency: rest.currency.toUpperCase(), lines, sum: lines.reduce((n, l) => n + l.cents, 0), missing: rest.discount ?? 0, coupon: rest.coupon || undefined, has: 'coupon' in rest };
const flat = (o, prefix = '') => Object.entries(o).flatMap(([k, v]) => (v && typeof v === 'object' ? flat(v, `${prefix}${k}.`) : [[prefix + k, v]]));
console.log('mapped', mapped); console.info(`flat: ${flat(event).length}`, Object.fromEntries(flat(event)));
return [mapped, new URLSearchParams(flat({ a: { b: 1 }, c: [2, 3] })).toString(), [...new Set(products.map((p) => p.price > 15))], new Map(lines.map((l) => [l.sku, l])).get('b')];
