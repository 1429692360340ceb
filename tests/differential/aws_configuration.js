const out = [];
AWS.config.update({ region: 'us-west-2', accessKeyId: 'a', secretAccessKey: 'b', maxRetries: 2 });
for (const name of ['S3', 'SNS', 'SQS', 'Lambda', 'Kinesis', 'Firehose', 'DynamoDB', 'EventBridge', 'STS', 'SES', 'CloudWatch', 'SecretsManager', 'StepFunctions', 'SSM', 'KMS', 'Pinpoint', 'PersonalizeEvents']) {
  const service = new AWS[name]();
  out.push([name, service.endpoint.href, service.serviceIdentifier, service.api.apiVersion, service.config.region, Object.keys(service.api.operations).length, service.api.protocol]);
}
const s3 = new AWS.S3({ apiVersion: '2006-03-01', s3ForcePathStyle: true, endpoint: 'https://storage.example:8443/base', sslEnabled: false, params: { Bucket: 'bound' } });
out.push(s3.endpoint, s3.config.s3ForcePathStyle, AWS.config.credentials.accessKeyId, AWS.VERSION, AWS.config.maxRetries, s3.numRetries());
for (const make of [() => new AWS.S3({ apiVersion: '1999-01-01' }), () => new AWS.SQS({ region: null }).listQueues().promise(), () => new AWS.DynamoDB({ endpoint: 5 })]) {
  try {
    out.push(typeof (await make()));
  } catch (error) {
    out.push([error.name, error.code, error.message]);
  }
}
out.push(typeof AWS.S3.ManagedUpload, typeof AWS.DynamoDB.DocumentClient, typeof AWS.Credentials, typeof AWS.Endpoint, typeof AWS.HttpClient, AWS.util.date.iso8601(new Date(0)), AWS.util.uuid.v4().length);
return out;
