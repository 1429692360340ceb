console.group('G'); console.log('in\nside'); console.group(); console.warn('deeper'); console.groupEnd(); console.log({ a: 1 }); console.groupEnd(); console.groupEnd(); console.log('out');
console.count(); console.count(); console.count('x'); console.countReset(); console.count(); console.countReset('none'); console.count(undefined);
console.assert(true, 'no'); console.assert(false, 'yes %s', 'x'); console.assert(false); console.assert(0, { a: 1 }); console.timeEnd('nope'); console.timeLog('nope');
console.dir({ a: { b: { c: { d: 1 } } } }, { depth: 0 }); console.dir('str'); console.dir({ [Symbol.for('nodejs.util.inspect.custom')]: () => 'C' }); console.dirxml({ a: 1 }, [2]); console.groupCollapsed('gc'); console.groupEnd();
