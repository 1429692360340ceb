// atob and btoa as their npm packages have them: Buffer's forgiving decoder, and Latin-1 in.
import atob from 'atob';
import btoa from 'btoa';
import { named } from './named.js';

named({ atob, btoa });

export { atob, btoa };
