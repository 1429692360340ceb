const db = new AWS.DynamoDB({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver });
const TableName = 'users';
await db.createTable({
  TableName, BillingMode: 'PAY_PER_REQUEST',
  KeySchema: [{ AttributeName: 'id', KeyType: 'HASH' }, { AttributeName: 'at', KeyType: 'RANGE' }],
  AttributeDefinitions: [{ AttributeName: 'id', AttributeType: 'S' }, { AttributeName: 'at', AttributeType: 'N' }],
}).promise();
await db.waitFor('tableExists', { TableName }).promise();
await db.putItem({ TableName, Item: { id: { S: 'a' }, at: { N: '1' }, raw: { B: Buffer.from([0, 255]) }, tags: { SS: ['x', 'y'] }, deep: { M: { l: { L: [{ BOOL: true }, { NULL: true }] } } } } }).promise();
const { Item } = await db.getItem({ TableName, Key: { id: { S: 'a' }, at: { N: '1' } } }).promise();
const condition = await db.putItem({ TableName, Item: { id: { S: 'a' }, at: { N: '1' } }, ConditionExpression: 'attribute_not_exists(id)' }).promise().catch(({ name, code, message, statusCode, retryable }) => ({ name, code, message, statusCode, retryable }));
const missing = await db.getItem({ TableName: 'none', Key: { id: { S: 'a' } } }).promise().catch(({ code, message, statusCode, retryable }) => ({ code, message, statusCode, retryable }));
const invalid = await db.putItem({ TableName, Item: { id: 5 }, Nothing: 1 }).promise().catch(({ name, code, message, errors }) => ({ name, code, message, errors: errors?.length }));
const { TableNames } = await db.listTables().promise();
return [Item.id, Item.raw.B.toString('hex'), Item.tags, Item.deep, condition, missing, invalid, TableNames, AWS.DynamoDB.Converter.unmarshall(Item).deep];
