const options = { region: 'us-east-1', accessKeyId: 'a', secretAccessKey: 'b', maxRetries: 1, retryDelayOptions: { base: 1 } };
const shown = ({ name, code, message, statusCode, retryable, region, hostname, errno, syscall, address, port, originalError }) => ({ name, code, message, statusCode, retryable, region, hostname, errno, syscall, address, port, originally: originalError && [originalError.name, originalError.code, originalError.message] });
// A queue whose every call gets this answer.
const queue = (answer, ending, more = {}) => {
  const sqs = new AWS.SQS({ ...options, maxRetries: 0, endpoint: receiver, ...more });
  sqs.customizeRequests((request) => {
    request.on('sign', () => {
      const { pathname, search } = new URL(reply(answer, ending));
      request.httpRequest.path = pathname + search;
      request.httpRequest.headers['X-Amz-Date'] = request.httpRequest.headers.Authorization = 'x';
    });
  });
  return sqs;
};
const out = [
  await new AWS.SQS({ ...options, endpoint: 'http://127.0.0.1:9' }).listQueues().promise().catch(shown),
  await new AWS.SNS({ ...options, endpoint: 'http://no-such-host.invalid' }).listTopics().promise().catch(shown),
  await queue('', { end: 'close' }).listQueues().promise().catch(shown),
  await queue('', { end: 'stall' }, { httpOptions: { timeout: 60 } }).listQueues().promise().catch(shown),
];
const request = queue('', { end: 'stall' }).listQueues();
const aborted = request.promise().catch(shown);
setTimeout(() => request.abort(), 50);
out.push(await aborted);
return out;
