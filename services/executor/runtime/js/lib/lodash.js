import lodash from 'lodash';

Object.defineProperty(globalThis, '_', { value: lodash, writable: true, configurable: true });
