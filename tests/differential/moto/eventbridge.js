const events = new AWS.EventBridge({ accessKeyId: 'AKID', secretAccessKey: 'secret', region: 'us-east-1', endpoint: receiver });
await events.createEventBus({ Name: 'bus' }).promise();
const put = await events.putEvents({ Entries: [{ Source: 'shop', DetailType: 'order', Detail: JSON.stringify({ id: 1 }), EventBusName: 'bus', Time: new Date(0) }, { Source: 'shop', DetailType: 'bad', Detail: 'no json' }] }).promise();
const { EventBuses } = await events.listEventBuses().promise();
const failed = await events.describeRule({ Name: 'none' }).promise().catch(({ code, statusCode, message }) => ({ code, statusCode, message }));
return [put.FailedEntryCount, put.Entries.map((one) => [typeof one.EventId, one.ErrorCode]), EventBuses.map((one) => one.Name).sort(), failed];
