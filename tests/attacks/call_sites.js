// Tries: `Error.prepareStackTrace` for `getThis` and `getFunction` of our frames
// Meets: a formatter gets the frames of the script alone
const seen = [];
Error.prepareStackTrace = (error, sites) => { for (const site of sites) seen.push(site); return 'x' };
async function attack() {
  const got = [];
  const look = () => { void new Error().stack };
  look(); JSON.stringify({ toJSON: look }); await null; look();
  await new Promise((done) => setTimeout(() => { look(); done() }, 1));
  try { new URL({ toString: look }) } catch {}
  try { console.log({ [Symbol.for('nodejs.util.inspect.custom')]: look }) } catch {}
  try { new URL('nonsense') } catch (e) { void e.stack }
  for (const site of seen) {
    const name = site.getFileName() ?? site.getScriptNameOrSourceURL();
    if (String(site).includes('onward:')) got.push(String(site));
    for (const value of [site.getThis(), site.getFunction()]) if (isOurs(value)) got.push(source(value).slice(0, 50));
  }
  return got;
}
