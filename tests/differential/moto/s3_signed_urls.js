const s3 = new AWS.S3({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver, s3ForcePathStyle: true, signatureVersion: 'v4' });
await s3.createBucket({ Bucket: 'signed' }).promise();
const put = await s3.getSignedUrlPromise('putObject', { Bucket: 'signed', Key: 'a/b c', Expires: 60, ContentType: 'text/plain' });
const answer = await fetch(put, { method: 'PUT', body: 'by url', headers: { 'content-type': 'text/plain' } });
const got = await fetch(s3.getSignedUrl('getObject', { Bucket: 'signed', Key: 'a/b c' }));
const post = s3.createPresignedPost({ Bucket: 'signed', Fields: { key: 'k' }, Conditions: [['content-length-range', 0, 10]], Expires: 100 });
const { searchParams, pathname } = new URL(put);
return [answer.status, got.status, await got.text(), pathname, [...searchParams.keys()], Object.keys(post.fields), post.url.startsWith(receiver)];
