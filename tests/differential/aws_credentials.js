const shown = ({ name, code, message, statusCode, retryable, originalError }) => ({ name, code, message, statusCode, retryable, originally: originalError?.message });
const out = [];
for (const [name, method, params] of [['S3', 'listBuckets', {}], ['SQS', 'listQueues', {}], ['DynamoDB', 'listTables', {}], ['STS', 'getCallerIdentity', {}]]) {
  out.push(await new AWS[name]({ region: 'us-east-1' })[method](params).promise().catch(shown));
}
out.push(await new AWS.SNS({ accessKeyId: 'a', secretAccessKey: 'b' }).listTopics().promise().catch(shown));
const expired = new AWS.Credentials('a', 'b', 'c');
expired.expired = true;
out.push(await new Promise((resolve) => expired.get((error) => resolve(error ?? 'usable'))), expired.needsRefresh());
const own = new AWS.Credentials('a', 'b');
own.refresh = (callback) => callback(new Error('no more'));
own.expired = true;
out.push(await new AWS.SQS({ region: 'us-east-1', credentials: own }).listQueues().promise().catch(shown));
out.push(await new AWS.CredentialProviderChain([() => new AWS.Credentials('x', 'y')]).resolvePromise().then((found) => found.accessKeyId));
out.push(await new Promise((resolve) => AWS.config.getCredentials((error) => resolve([error.code, error.message]))));
return out;
