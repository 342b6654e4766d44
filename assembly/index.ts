// The exports, nothing else. All of them take and give 32-bit integers; nothing here calls the host.

export { deflate, prepareDeflate, slideDeflate } from './deflate';
export { readFrames, sealFrame, writeHeader } from './frame';
export { inflate, prepareInflate } from './inflate';
export { mask } from './mask';
export { validateUtf8 } from './utf8';
