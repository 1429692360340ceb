const s3 = new AWS.S3({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver, s3ForcePathStyle: true });
const Bucket = 'streams';
await s3.createBucket({ Bucket }).promise();
const text = 'line of text\n'.repeat(20_000);
const progress = [];
const upload = s3.upload({ Bucket, Key: 'uploaded', Body: text });
upload.on('httpUploadProgress', ({ loaded, total, key }) => progress.push([loaded, total, key]));
const uploaded = await upload.promise();
const parts = await s3.upload({ Bucket, Key: 'parts', Body: Buffer.alloc(6 * 1024 * 1024, 'ab') }, { partSize: 5 * 1024 * 1024, queueSize: 1 }).promise();
const chunks = [];
await new Promise((resolve, reject) =>
  s3.getObject({ Bucket, Key: 'uploaded' }).createReadStream().on('data', (chunk) => chunks.push(chunk)).on('end', resolve).on('error', reject),
);
let iterated = 0;
for await (const chunk of s3.getObject({ Bucket, Key: 'uploaded' }).createReadStream()) iterated += chunk.length;
const failed = await new Promise((resolve) => s3.getObject({ Bucket, Key: 'nothing' }).createReadStream().on('error', (error) => resolve(error.code)).resume());
const response = await fetch(s3.getSignedUrl('getObject', { Bucket, Key: 'uploaded', Expires: 60 }));
const streamed = await s3.upload({ Bucket, Key: 'copied', Body: response.body }).promise();
const copied = await s3.getObject({ Bucket, Key: 'copied' }).promise();
const events = [];
const request = s3.getObject({ Bucket, Key: 'uploaded' });
for (const name of ['validate', 'build', 'sign', 'send', 'httpHeaders', 'httpDone', 'extractData', 'success', 'complete']) request.on(name, () => events.push(name));
await request.promise();
return [
  uploaded.Key, uploaded.Bucket, uploaded.ETag, progress.at(-1), parts.ETag, Buffer.concat(chunks).toString() === text, iterated, failed,
  response.status, streamed.ETag, copied.Body.toString() === text, events,
];
