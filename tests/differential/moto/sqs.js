const sqs = new AWS.SQS({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver });
const { QueueUrl } = await sqs.createQueue({ QueueName: 'jobs' }).promise();
const sent = await sqs.sendMessage({ QueueUrl, MessageBody: '{"a":"ü"}', MessageAttributes: { n: { DataType: 'Number', StringValue: '5' }, b: { DataType: 'Binary', BinaryValue: Buffer.from([0, 255]) } } }).promise();
const received = await sqs.receiveMessage({ QueueUrl, MessageAttributeNames: ['All'] }).promise();
const [message] = received.Messages;
await sqs.deleteMessage({ QueueUrl, ReceiptHandle: message.ReceiptHandle }).promise();
const batch = await sqs.sendMessageBatch({ QueueUrl, Entries: [1, 2, 3].map((i) => ({ Id: `${i}`, MessageBody: `m${i}` })) }).promise();
const { Attributes } = await sqs.getQueueAttributes({ QueueUrl, AttributeNames: ['ApproximateNumberOfMessages'] }).promise();
const failed = await sqs.sendMessage({ QueueUrl: `${receiver}/123456789012/none`, MessageBody: 'x' }).promise().catch(({ code, statusCode, message }) => ({ code, statusCode, message }));
const empty = await sqs.createQueue({ QueueName: 'empty' }).promise();
const nothing = await sqs.receiveMessage({ QueueUrl: empty.QueueUrl }).promise();
return [
  QueueUrl, sent.MD5OfMessageBody, sent.MD5OfMessageAttributes, message.Body, message.MessageAttributes.n, [...message.MessageAttributes.b.BinaryValue],
  batch.Successful.map((one) => [one.Id, one.MD5OfMessageBody]), Attributes, failed, Object.keys(nothing),
];
