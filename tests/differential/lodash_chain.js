const people = [{ name: 'b', age: 40, tags: ['x', 'y'] }, { name: 'a', age: 20, tags: ['y'] }, { name: 'c', age: 30, tags: [] }];
const lazy = [];
const chained = _(people).filter((one) => (lazy.push(one.name), one.age > 15)).map('name').take(1);
return [
  chained.value(), lazy, _.chain(people).sortBy('age').map('name').join('-').value(), _(people).flatMap('tags').countBy().value(),
  _.chain(people).groupBy((one) => one.tags.length).mapValues((group) => _.map(group, 'name')).value(), _([1, 2, 3]).reverse().tap((all) => all.push(9)).thru(_.sum).value(),
  _.chain({ a: 1, b: 2 }).toPairs().unzip().value(), _(people).orderBy(['age'], ['desc']).first().name, _.chain([3, 1, 2]).sort().head().isEqual(1).value(),
  [..._([1, 2])], _([1, [2, [3]]]).flattenDeep().concat(4).chunk(2).toJSON(), `${_([1, 2])}`, _.chain(people).keyBy('name').pick(['a']).value(), _(people).reject({ name: 'a' }).size(), _([4, 5]).at(0).value(),
];
