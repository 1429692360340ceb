const s3 = new AWS.S3({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver, s3ForcePathStyle: true });
const failing = async (call) => {
  try {
    return await call;
  } catch (error) {
    const { name, code, message, statusCode, retryable, region } = error;
    return { name, code, message, statusCode, retryable, region, isError: error instanceof Error, hasTime: error.time instanceof Date };
  }
};
await s3.createBucket({ Bucket: 'known' }).promise();
const inCallback = await new Promise((resolve) =>
  s3.getObject({ Bucket: 'known', Key: 'nothing' }, function (error, data) {
    resolve([error.code, data, this.httpResponse.statusCode, this.retryCount]);
  }),
);
return [
  await failing(s3.getObject({ Bucket: 'unknown', Key: 'a' }).promise()),
  await failing(s3.putObject({ Bucket: 'unknown', Key: 'a', Body: 'b' }).promise()),
  await failing(s3.getObject({ Bucket: 'known', Key: 'a' }).promise()),
  await failing(s3.headObject({ Bucket: 'known', Key: 'a' }).promise()),
  await failing(s3.putObject({ Bucket: 'known' }).promise()),
  await failing(s3.putObject({ Bucket: 'known', Key: 'a', Body: 5 }).promise()),
  inCallback,
];
