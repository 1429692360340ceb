const s3 = new AWS.S3({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver, s3ForcePathStyle: true });
const Bucket = 'orders';
await s3.createBucket({ Bucket }).promise();
const put = await s3.putObject({ Bucket, Key: 'a b/ü.txt', Body: 'héllo', ContentType: 'text/plain', Metadata: { by: 'test' } }).promise();
const got = await s3.getObject({ Bucket, Key: 'a b/ü.txt' }).promise();
const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
await s3.putObject({ Bucket, Key: 'bytes', Body: bytes }).promise();
const same = (await s3.getObject({ Bucket, Key: 'bytes' }).promise()).Body.equals(bytes);
const large = Buffer.alloc(1024 * 1024, 'large body ');
await s3.putObject({ Bucket, Key: 'large', Body: large }).promise();
const back = await s3.getObject({ Bucket, Key: 'large' }).promise();
const range = await s3.getObject({ Bucket, Key: 'large', Range: 'bytes=0-4' }).promise();
const head = await s3.headObject({ Bucket, Key: 'large' }).promise();
const list = await s3.listObjectsV2({ Bucket, MaxKeys: 2 }).promise();
const called = await new Promise((resolve) => s3.listBuckets((error, data) => resolve([error, data.Buckets.map((one) => one.Name)])));
const gone = await s3.deleteObjects({ Bucket, Delete: { Objects: [{ Key: 'bytes' }, { Key: 'large' }] } }).promise();
return [
  put.ETag, got.Body.toString(), Buffer.isBuffer(got.Body), got.ContentType, got.ContentLength, got.Metadata, same,
  back.Body.equals(large), back.ETag, range.Body.toString(), range.ContentRange, head.ContentLength, Object.keys(head).sort(),
  list.IsTruncated, list.KeyCount, list.Contents.map((one) => [one.Key, one.Size, one.ETag]), called, gone.Deleted.map((one) => one.Key).sort(),
];
