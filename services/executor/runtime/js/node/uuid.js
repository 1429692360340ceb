// The one of npm's `uuid` that the AWS SDK asks for.
import { randomUUID } from 'crypto';

export const v4 = randomUUID;
