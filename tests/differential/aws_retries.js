// The receiver answers each call with the next line of a plan.
const plan = ['HTTP/1.1 500 Bad\r\nContent-Length: 0\r\n\r\n', 'HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n', 'HTTP/1.1 200 OK\r\nx-amzn-RequestId: id\r\nContent-Length: 13\r\n\r\n{"Items": []}'];
const options = { region: 'us-east-1', accessKeyId: 'a', secretAccessKey: 'b', retryDelayOptions: { base: 1 } };
const answered = (service, answers) => {
  service.customizeRequests((request) => {
    let at = 0;
    request.on('sign', () => {
      const { pathname, search } = new URL(reply(answers[Math.min(at++, answers.length - 1)]));
      request.httpRequest.path = pathname + search;
      request.httpRequest.headers['User-Agent'] = request.httpRequest.headers['X-Amz-Date'] = request.httpRequest.headers.Authorization = 'x';
    });
  });
  return service;
};
const shown = ({ name, code, message, statusCode, retryable, requestId }) => ({ name, code, message, statusCode, retryable, requestId });
const error = (status, body, headers = '') => [`HTTP/1.1 ${status}\r\n${headers}Content-Length: ${body.length}\r\n\r\n${body}`];
const db = (more = {}) => new AWS.DynamoDB({ ...options, endpoint: receiver, dynamoDbCrc32: false, ...more });
const counted = await new Promise((resolve) => answered(db(), plan).scan({ TableName: 't' }, function (failed, data) { resolve([failed, data, this.retryCount]); }));
return [
  counted,
  await answered(db({ maxRetries: 1 }), error('500 Bad', '{"__type":"InternalServerError","message":"later"}')).scan({ TableName: 't' }).promise().catch(shown),
  await answered(db({ maxRetries: 0 }), error('400 Bad', '{"__type":"com.x#ThrottlingException","Message":"slow down"}')).scan({ TableName: 't' }).promise().catch(shown),
  await answered(db({ maxRetries: 0 }), error('429 Many', '')).scan({ TableName: 't' }).promise().catch(shown),
  await answered(db({ maxRetries: 0 }), error('200 OK', 'no json')).scan({ TableName: 't' }).promise().catch(shown),
  await answered(new AWS.SQS({ ...options, endpoint: receiver, maxRetries: 0 }), error('403 No', '{"__type":"AccessDenied","message":"no"}')).listQueues().promise().catch(shown),
  await answered(new AWS.SNS({ ...options, endpoint: receiver, maxRetries: 0 }), error('500 Bad', '<ErrorResponse><Error><Code>Internal</Code><Message>a &amp; b</Message></Error><RequestId>r</RequestId></ErrorResponse>')).listTopics().promise().catch(shown),
  await answered(new AWS.SNS({ ...options, endpoint: receiver, maxRetries: 0 }), error('200 OK', '<broken')).listTopics().promise().catch(shown),
];
