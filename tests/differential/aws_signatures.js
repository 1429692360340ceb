// No request is sent: what the SDK would send, at a fixed time.
const at = new Date('2024-05-06T07:08:09Z');
const options = { accessKeyId: 'AKIDEXAMPLE', secretAccessKey: 'secret/key+', region: 'eu-central-1' };
const built = (request, version) =>
  new Promise((resolve) => {
    request.service.getSkewCorrectedDate = () => at;
    request.on('send', () => {});
    request.build((error) => {
      if (error) return resolve(error);
      const built = request;
      const signer = new AWS.Signers[version](built.httpRequest, request.service.signingName ?? request.service.api.signingName ?? request.service.api.endpointPrefix, { operations: {} });
      signer.addAuthorization(new AWS.Credentials('AKIDEXAMPLE', 'secret/key+', 'session'), at);
      const { method, path, headers, body } = built.httpRequest;
      return resolve({ method, path, headers, body: `${body}`, host: built.httpRequest.endpoint.host });
    });
  });
const s3 = new AWS.S3(options);
return [
  await built(s3.putObject({ Bucket: 'b', Key: 'a b/ü(1).txt', Body: 'héllo', ContentType: 'text/plain', Metadata: { x: ' y  z ' }, Tagging: 'a=b' }), 'V4'),
  await built(s3.listObjectsV2({ Bucket: 'with.dots', Prefix: 'a/&?' }), 'V4'),
  await built(new AWS.SNS(options).publish({ TopicArn: 'arn:aws:sns:eu-central-1:1:t', Message: "it's & more", MessageAttributes: { a: { DataType: 'String', StringValue: 'b' } } }), 'V4'),
  await built(new AWS.SQS(options).sendMessage({ QueueUrl: 'https://sqs.eu-central-1.amazonaws.com/1/q', MessageBody: 'x' }), 'V4'),
  await built(new AWS.DynamoDB(options).putItem({ TableName: 't', Item: { a: { B: Buffer.from([1, 2]) } } }), 'V4'),
  await built(new AWS.Lambda(options).invoke({ FunctionName: 'f:alias', Payload: '{}', ClientContext: 'e30=' }), 'V4'),
  await built(new AWS.Kinesis(options).putRecord({ StreamName: 's', PartitionKey: 'p', Data: 'data' }), 'V4'),
  await built(new AWS.Firehose(options).putRecord({ DeliveryStreamName: 's', Record: { Data: 'data' } }), 'V4'),
  await built(new AWS.EventBridge(options).putEvents({ Entries: [{ Source: 's', Time: at }] }), 'V4'),
  await built(new AWS.STS({ ...options, stsRegionalEndpoints: 'regional' }).getCallerIdentity(), 'V4'),
  await built(new AWS.SES(options).sendEmail({ Source: 'a@b', Destination: { ToAddresses: ['c@d'] }, Message: { Subject: { Data: 's' }, Body: { Text: { Data: 't' } } } }), 'V4'),
];
