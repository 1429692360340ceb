const ses = new AWS.SES({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver });
const mail = { Source: 'from@example.com', Destination: { ToAddresses: ['to@example.com'] }, Message: { Subject: { Data: 'Hëllo' }, Body: { Text: { Data: 'text' }, Html: { Data: '<b>html & more</b>' } } } };
const refused = await ses.sendEmail(mail).promise().catch(({ code, statusCode, message, retryable }) => ({ code, statusCode, message, retryable }));
await ses.verifyEmailIdentity({ EmailAddress: 'from@example.com' }).promise();
const sent = await ses.sendEmail(mail).promise();
const raw = await ses.sendRawEmail({ RawMessage: { Data: 'From: from@example.com\nTo: to@example.com\nSubject: x\n\nbody' } }).promise();
const quota = await ses.getSendQuota().promise();
return [refused, typeof sent.MessageId, typeof raw.MessageId, Object.keys(quota).sort(), quota.SentLast24Hours];
