const seen = [];
for (const text of ['', 'a', 'ab', 'abc', 'Ünï', '\u0000\u00ff', 'x'.repeat(100)]) seen.push(btoa(text), atob(btoa(text)));
for (const text of ['YQ', 'YQ=', 'YQ==', ' YW Jj ', 'YWJj\n', '!!!!', 'a', '', 'YQ=a', '_-8=', 'éé']) try { seen.push(atob(text)); } catch (e) { seen.push([e.name, e.message]); }
for (const value of [null, undefined, 5, true, { a: 1 }, [1, 2], Buffer.from('buf')]) { try { seen.push(btoa(value)); } catch (e) { seen.push([e.name, e.message]); } try { seen.push(atob(value)); } catch (e) { seen.push([e.name, e.message]); } }
seen.push(btoa('€'), btoa('😀'), Buffer.from('€').toString('base64'), Buffer.from(btoa('é'), 'base64').toString('hex'), encodeURIComponent(btoa('subject?>')), Buffer.from('a?>b').toString('base64url'));
return seen;
