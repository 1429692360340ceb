const options = { accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver };
const TableName = 'docs';
await new AWS.DynamoDB(options).createTable({
  TableName, BillingMode: 'PAY_PER_REQUEST', KeySchema: [{ AttributeName: 'pk', KeyType: 'HASH' }, { AttributeName: 'sk', KeyType: 'RANGE' }],
  AttributeDefinitions: [{ AttributeName: 'pk', AttributeType: 'S' }, { AttributeName: 'sk', AttributeType: 'N' }],
}).promise();
const docs = new AWS.DynamoDB.DocumentClient(options);
await docs.put({ TableName, Item: { pk: 'u', sk: 1, name: 'Ünal', n: 1.5, nothing: null, list: [1, 'a', { b: true }], set: docs.createSet(['a', 'b']), raw: Buffer.from('raw') } }).promise();
const { Item } = await docs.get({ TableName, Key: { pk: 'u', sk: 1 } }).promise();
const updated = await docs.update({ TableName, Key: { pk: 'u', sk: 1 }, UpdateExpression: 'SET #n = :n ADD visits :one', ExpressionAttributeNames: { '#n': 'name' }, ExpressionAttributeValues: { ':n': 'New', ':one': 1 }, ReturnValues: 'ALL_NEW' }).promise();
const batch = await docs.batchWrite({ RequestItems: { [TableName]: [2, 3, 4].map((sk) => ({ PutRequest: { Item: { pk: 'u', sk } } })) } }).promise();
const page = await docs.query({ TableName, KeyConditionExpression: 'pk = :p', ExpressionAttributeValues: { ':p': 'u' }, Limit: 2 }).promise();
const rest = await docs.query({ TableName, KeyConditionExpression: 'pk = :p', ExpressionAttributeValues: { ':p': 'u' }, ExclusiveStartKey: page.LastEvaluatedKey }).promise();
const some = await docs.batchGet({ RequestItems: { [TableName]: { Keys: [{ pk: 'u', sk: 2 }, { pk: 'u', sk: 9 }] } } }).promise();
await docs.delete({ TableName, Key: { pk: 'u', sk: 4 } }).promise();
const scanned = await docs.scan({ TableName, FilterExpression: 'sk > :s', ExpressionAttributeValues: { ':s': 1 } }).promise();
const moved = await docs.transactWrite({ TransactItems: [{ Put: { TableName, Item: { pk: 'v', sk: 1 } } }, { Delete: { TableName, Key: { pk: 'u', sk: 3 } } }] }).promise();
const conditional = await docs.update({ TableName, Key: { pk: 'x', sk: 1 }, UpdateExpression: 'SET a = :a', ConditionExpression: 'attribute_exists(pk)', ExpressionAttributeValues: { ':a': 1 } }).promise().catch((error) => [error.code, error.statusCode, error.retryable, error.message]);
const called = await new Promise((resolve) => docs.get({ TableName, Key: { pk: 'v', sk: 1 } }, (error, data) => resolve([error, data])));
return [
  { ...Item, set: Item.set.values.sort(), raw: Item.raw.toString() }, Item.set.type, updated.Attributes.name, updated.Attributes.visits, batch.UnprocessedItems,
  page.Items.map((one) => one.sk), page.LastEvaluatedKey, rest.Count, some.Responses[TableName].length, scanned.Items.map((one) => one.sk).sort(), moved, conditional, called,
];
