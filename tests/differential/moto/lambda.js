const options = { accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver };
const lambda = new AWS.Lambda(options);
const failed = await lambda.invoke({ FunctionName: 'none', Payload: '{}' }).promise().catch(({ name, code, statusCode, message, retryable }) => ({ name, code, statusCode, message, retryable }));
// The role that moto wants to see first.
const policy = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' }] });
const authorization = 'AWS4-HMAC-SHA256 Credential=AKID/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=0';
const role = new URLSearchParams({ Action: 'CreateRole', Version: '2010-05-08', RoleName: 'r', AssumeRolePolicyDocument: policy });
await fetch(receiver, { method: 'POST', body: role, headers: { authorization } });
const made = await lambda.createFunction({ FunctionName: 'hook', Runtime: 'python3.11', Role: 'arn:aws:iam::123456789012:role/r', Handler: 'a.b', Code: { ZipFile: Buffer.from('UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA==', 'base64') } }).promise();
const invoked = await lambda.invoke({ FunctionName: 'hook', Payload: JSON.stringify({ a: 1 }), LogType: 'Tail' }).promise();
const later = await lambda.invoke({ FunctionName: 'hook', InvocationType: 'Event', Payload: '{}' }).promise();
return [failed, made.FunctionName, made.FunctionArn, invoked.StatusCode, invoked.Payload?.toString(), invoked.FunctionError ?? null, later.StatusCode];
