// JPEG, decoded by the browser, which has the same library as Pillow. Metadata is taken out first, so that no browser
// applies a colour profile or turns the image: the orientation is applied here, as Python does it.
import { exifOrientation, xmpOrientation } from "./orientation.js";
import { ImageError, Pixels } from "./pixels.js";

const EXIF = "Exif\0\0";
const XMP = "http://ns.adobe.com/xap/1.0/\0";
const [SOI, EOI, SOS, APP1, APP2] = [0xd8, 0xd9, 0xda, 0xe1, 0xe2];
const TILE = 1024;

export const isJpeg = (bytes) => bytes[0] === 0xff && bytes[1] === SOI && bytes[2] === 0xff;

/**
 * @param {Uint8Array} bytes A whole file.
 * @param {(width: number, height: number) => void} checkSize Throws where that is too large; called before decoding.
 * @returns {Promise<{image: Pixels, orientation: number}>} RGB.
 */
export async function decodeJpeg(bytes, checkSize) {
  const { frame, metadata, kept } = partsOf(bytes, checkSize);
  if (!frame) throw new ImageError("its JPEG header is damaged");
  const blob = new Blob([joined(kept)], { type: "image/jpeg" });
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" }).catch(() => {
    throw new ImageError("this browser cannot decode the JPEG");
  });
  try {
    if (bitmap.width !== frame.width || bitmap.height !== frame.height) {
      throw new ImageError(`it decodes to ${bitmap.width}x${bitmap.height}, not ${frame.width}x${frame.height}`);
    }
    return { image: pixelsOf(bitmap), orientation: orientationOf(metadata) };
  } finally {
    bitmap.close();
  }
}

/** Walks the file: the frame's size, the metadata, and all the other parts. */
function partsOf(bytes, checkSize) {
  const found = { frame: null, metadata: [], kept: [bytes.subarray(0, 2)] };
  for (let at = 2; ; ) {
    const marker = markerAt(bytes, at);
    if (marker === EOI) break;
    const end = at + 2 + lengthAt(bytes, at + 2);
    if (isFrame(marker)) {
      found.frame = frameOf(bytes.subarray(at + 4, end));
      checkSize(found.frame.width, found.frame.height);
    }
    const next = marker === SOS ? endOfScan(bytes, end) : end;
    if (marker === APP1 || marker === APP2) found.metadata.push(bytes.subarray(at + 4, end));
    else found.kept.push(bytes.subarray(at, next));
    at = next;
  }
  found.kept.push(Uint8Array.of(0xff, EOI));
  return found;
}

/** Firefox cannot decode a blob that was made of several parts. */
function joined(parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

function markerAt(bytes, at) {
  if (at + 2 > bytes.length) throw new ImageError("the image file is truncated");
  if (bytes[at] !== 0xff) throw new ImageError("its JPEG header is damaged");
  return bytes[at + 1];
}

function lengthAt(bytes, at) {
  const length = (bytes[at] << 8) | bytes[at + 1];
  if (at + length > bytes.length) throw new ImageError("the image file is truncated");
  if (!(length >= 2)) throw new ImageError("its JPEG header is damaged");
  return length;
}

/** SOF0 to SOF15, but for what is no frame: DHT, JPG and DAC. */
const isFrame = (marker) => marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker);

function frameOf([precision, high, low, wideHigh, wideLow, channels]) {
  const frame = { height: (high << 8) | low, width: (wideHigh << 8) | wideLow };
  if (!frame.height || !frame.width) throw new ImageError("its JPEG header is damaged");
  if (precision !== 8) throw new ImageError(`it has ${precision} bits a sample, and 8 can be read`);
  if (![1, 3, 4].includes(channels)) throw new ImageError(`an image has ${channels} channels, not 1, 3 or 4`);
  return frame;
}

/** Where the compressed data ends: at the next marker that is neither a stuffed 0xFF nor a restart. */
function endOfScan(bytes, from) {
  for (let at = bytes.indexOf(0xff, from); at >= 0 && at + 1 < bytes.length; at = bytes.indexOf(0xff, at + 1)) {
    const marker = bytes[at + 1];
    if (marker !== 0 && marker !== 0xff && !(marker >= 0xd0 && marker <= 0xd7)) return at;
  }
  throw new ImageError("the image file is truncated");
}

function orientationOf(metadata) {
  const after = (prefix) =>
    metadata
      .filter((part) => String.fromCharCode(...part.subarray(0, prefix.length)) === prefix)
      .map((part) => part.subarray(prefix.length));
  const exif = after(EXIF).map(exifOrientation).find(Boolean);
  return exif ?? after(XMP).map(xmpOrientation).find(Boolean) ?? 1;
}

/** Reads the pixels tile by tile: browsers bound the size of a canvas, and phones its memory. */
function pixelsOf(bitmap) {
  const image = new Pixels(bitmap.width, bitmap.height, 3);
  const canvas = new OffscreenCanvas(TILE, TILE);
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  checkReadback(context);
  for (let top = 0; top < bitmap.height; top += TILE) {
    for (let left = 0; left < bitmap.width; left += TILE) {
      const width = Math.min(TILE, bitmap.width - left);
      const height = Math.min(TILE, bitmap.height - top);
      context.drawImage(bitmap, left, top, width, height, 0, 0, width, height);
      copyColours(context.getImageData(0, 0, width, height), image, left, top);
    }
  }
  return image;
}

function copyColours({ data, width, height }, image, left, top) {
  let from = 0;
  for (let y = 0; y < height; ++y) {
    let to = ((top + y) * image.width + left) * 3;
    for (let x = 0; x < width; ++x, from += 4, to += 3) {
      for (let c = 0; c < 3; ++c) image.data[to + c] = data[from + c];
    }
  }
}

/** Some browsers protect privacy by changing what is read from a canvas; every answer would be a little wrong. */
function checkReadback(context) {
  const pattern = new ImageData(16, 16);
  pattern.data.forEach((_, index) => {
    pattern.data[index] = index % 4 === 3 ? 255 : (index * 7) % 256;
  });
  context.putImageData(pattern, 0, 0);
  const { data } = context.getImageData(0, 0, 16, 16);
  if (data.some((value, index) => value !== pattern.data[index])) {
    throw new ImageError("this browser alters what is read from a canvas (a privacy protection): allow it here");
  }
}
