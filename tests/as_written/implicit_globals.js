count = 0
names = ['zero']
limits = { max: 3 }
function remember(name) { names.push(name); count++; last = name; return this === globalThis }
onTrack = async function (event) {
  var plain = remember(event.event)
  if (count > limits.max) throw new Error('too many: ' + names.join())
  for (i = 0; i < 2; i++) await null
  return { count, last, plain, i, seen: typeof never }
}
