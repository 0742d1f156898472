export { DecoderStreamReader, QpackDecoder } from './decoder.ts';
export { encodeFieldSection } from './encoder.ts';
export { huffmanDecode, huffmanEncode } from './huffman.ts';
