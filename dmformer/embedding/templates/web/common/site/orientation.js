// Which way up an image is: EXIF's tag 0x0112, or XMP's tiff:Orientation where EXIF has none.
import { Pixels } from "./pixels.js";

const ORIENTATION_TAG = 0x0112;
const SHORT = 3;

/** @returns {number} 1 to 8 (or nonsense from a damaged file), 0 where EXIF says nothing. */
export function exifOrientation(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const order = view.byteLength < 8 ? 0 : view.getUint16(0);
  if (order !== 0x4d4d && order !== 0x4949) return 0;
  const little = order === 0x4949;
  const directory = view.getUint32(4, little);
  if (directory + 2 > view.byteLength) return 0;
  const count = view.getUint16(directory, little);
  for (let entry = directory + 2; entry < directory + 2 + 12 * count; entry += 12) {
    if (entry + 12 > view.byteLength) return 0;
    if (view.getUint16(entry, little) !== ORIENTATION_TAG) continue;
    return view.getUint16(entry + 2, little) === SHORT ? view.getUint16(entry + 8, little) : 1;
  }
  return 0;
}

/** @returns {number} 0 where XMP says nothing. */
export function xmpOrientation(bytes) {
  const found = /tiff:Orientation(?:="|>)([0-9])/.exec(new TextDecoder("latin1").decode(bytes));
  return found ? Number(found[1]) : 0;
}

/** The image as it is to be looked at. */
export function upright(image, orientation) {
  if (orientation < 2 || orientation > 8) return image;
  const { width, height, channels } = image;
  const swapped = orientation >= 5;
  const mirroredX = [2, 3, 7, 8].includes(orientation);
  const mirroredY = [3, 4, 6, 7].includes(orientation);
  const turned = new Pixels(swapped ? height : width, swapped ? width : height, channels);
  let to = 0;
  for (let y = 0; y < turned.height; ++y) {
    for (let x = 0; x < turned.width; ++x) {
      const fromX = mirroredX ? width - 1 - (swapped ? y : x) : swapped ? y : x;
      const fromY = mirroredY ? height - 1 - (swapped ? x : y) : swapped ? x : y;
      const from = (fromY * width + fromX) * channels;
      for (let c = 0; c < channels; ++c) turned.data[to++] = image.data[from + c];
    }
  }
  return turned;
}
