// The services of the AWS SDK that are bundled, with what its generated clients say of them. Those that functions
// deliver to, ask or fetch secrets from; a model is read when its service is named, so more cost only room.
import { readFile } from 'node:fs/promises';
import path from 'node:path';

export const AWS_SERVICES = [
  'athena', 'cloudwatch', 'cloudwatchevents', 'cloudwatchlogs', 'cognitoidentity', 'cognitoidentityserviceprovider',
  'comprehend', 'customerprofiles', 'dynamodb', 'dynamodbstreams', 'eventbridge', 'firehose', 'iotdata', 'kinesis', 'kms', 'lambda',
  'personalizeevents', 'personalizeruntime', 'pinpoint', 'pinpointsmsvoicev2', 'rdsdataservice', 'redshiftdata',
  's3', 'scheduler', 'secretsmanager', 'ses', 'sesv2', 'sns', 'sqs', 'ssm', 'stepfunctions', 'sts', 'translate',
];

// {name, id, versions, models: [version, ...], code: whether lib/services has more}
async function describe(folder, id) {
  const text = await readFile(path.join(folder, 'clients', `${id}.js`), 'utf8');
  const [, name, versions] = /^AWS\.(\w+) = Service\.defineService\('\w+', (\[[^\]]*\])\);$/m.exec(text);
  const models = [...text.matchAll(/^Object\.defineProperty\(apiLoader\.services\['\w+'\], '([\d-]+)', \{$/gm)].map(([, version]) => version);
  return { name, id, versions: JSON.parse(versions.replaceAll("'", '"')), models, code: text.includes(`require('../lib/services/${id}')`) };
}

export const awsServices = (folder) => Promise.all(AWS_SERVICES.map((id) => describe(folder, id)));

export function servicesModule(services) {
  const entries = services.map(({ code, ...service }) => {
    const loadCode = code ? `,code:()=>require("aws-sdk/lib/services/${service.id}")` : '';
    return `{...${JSON.stringify(service)}${loadCode}}`;
  });
  return `exports.services=[${entries.join(',')}];`;
}

const readJson = async (file) => JSON.parse(await readFile(file, 'utf8'));
const ascii = (text) => text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);

// What the SDK puts together from three files for each version.
async function model(folder, text, id, version) {
  const wanted = [...text.matchAll(/require\('\.\.\/apis\/([^']+)'\)(?:\.(\w+))?/g)].filter(([, file]) => file.includes(version));
  const parts = await Promise.all(wanted.map(async ([, file, key]) => [key, await readJson(path.join(folder, 'apis', file))]));
  const [[, made], ...more] = parts;
  for (const [key, content] of more) made[key === 'pagination' ? 'paginators' : key] = content[key];
  return [`${id}-${version}`, ascii(JSON.stringify(made))];
}

// [[name of the part, its text], ...]
export async function serviceModels(folder, services) {
  const all = services.map(async ({ id, models }) => {
    const text = await readFile(path.join(folder, 'clients', `${id}.js`), 'utf8');
    return Promise.all(models.map((version) => model(folder, text, id, version)));
  });
  return (await Promise.all(all)).flat();
}

// The SDK's table of all services, without those that are not here.
export async function serviceMetadata(file) {
  const wanted = new Set(AWS_SERVICES);
  return Object.fromEntries(Object.entries(await readJson(file)).filter(([id]) => wanted.has(id)));
}
