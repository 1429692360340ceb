const options = { region: 'us-east-1', accessKeyId: 'a', secretAccessKey: 'b' };
const refused = async (service, method, params) => {
  try {
    return await service[method](params).promise();
  } catch ({ name, code, message, errors, statusCode }) {
    return { name, code, message, statusCode, errors: errors?.map((one) => one.message) };
  }
};
const s3 = new AWS.S3(options);
return [
  await refused(s3, 'putObject', { Key: 5 }),
  await refused(s3, 'putObject', { Bucket: 'b', Key: 'k', Body: {}, Nothing: true }),
  await refused(s3, 'getObject', { Bucket: '', Key: 'k' }),
  await refused(new AWS.SNS(options), 'publish', { Message: ['x'], TopicArn: 'a' }),
  await refused(new AWS.Kinesis(options), 'putRecord', { StreamName: 's', Data: 5, PartitionKey: 'p' }),
  await refused(new AWS.DynamoDB.DocumentClient(options), 'put', { Item: {} }),
  await refused(new AWS.Lambda({ ...options, paramValidation: { min: true, max: true, pattern: true } }), 'invoke', { FunctionName: '' }),
];
