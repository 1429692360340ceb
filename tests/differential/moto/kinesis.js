const kinesis = new AWS.Kinesis({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver });
await kinesis.createStream({ StreamName: 'clicks', ShardCount: 1 }).promise();
const { StreamDescription } = await kinesis.describeStream({ StreamName: 'clicks' }).promise();
const put = await kinesis.putRecord({ StreamName: 'clicks', PartitionKey: 'u1', Data: JSON.stringify({ page: '/ü' }) }).promise();
const many = await kinesis.putRecords({ StreamName: 'clicks', Records: [{ PartitionKey: 'u2', Data: Buffer.from([1, 2]) }, { PartitionKey: 'u3', Data: 'x' }] }).promise();
const { ShardIterator } = await kinesis.getShardIterator({ StreamName: 'clicks', ShardId: put.ShardId, ShardIteratorType: 'TRIM_HORIZON' }).promise();
const { Records } = await kinesis.getRecords({ ShardIterator }).promise();
const failed = await kinesis.putRecord({ StreamName: 'none', PartitionKey: 'a', Data: 'b' }).promise().catch(({ name, code, statusCode, retryable }) => ({ name, code, statusCode, retryable }));
return [StreamDescription.StreamName, put.ShardId, many.FailedRecordCount, many.Records.length, Records.map((one) => [one.PartitionKey, Buffer.isBuffer(one.Data), one.Data.toString()]), failed];
