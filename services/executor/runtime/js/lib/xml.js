import xml from 'xml';

Object.defineProperty(globalThis, 'xml', { value: xml, writable: true, configurable: true });
