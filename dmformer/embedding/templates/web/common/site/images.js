// Image files as pixels. Files are taken to be hostile: what is too large is refused before it is decoded.
import { decodeJpeg, isJpeg } from "./jpeg.js";
import { upright } from "./orientation.js";
import { ImageError } from "./pixels.js";
import { decodePng, isPng } from "./png.js";

const MAX_PIXELS = 64_000_000;
const MAX_FILE_BYTES = 512 * 2 ** 20;

/**
 * Reads a PNG or JPEG as Python reads it: upright (EXIF) and in RGB; an alpha channel is dropped, not blended.
 *
 * @param {Blob} file
 * @param {string} name For the error's line.
 * @returns {Promise<Pixels>}
 * @throws {ImageError} It is no image, is damaged or too large.
 */
export async function loadImage(file, name = file.name) {
  try {
    if (file.size > MAX_FILE_BYTES) throw new ImageError("is larger than 512 MiB");
    const bytes = new Uint8Array(await file.arrayBuffer());
    const { image, orientation } = await decoderOf(bytes)(bytes, checkSize);
    return upright(image, orientation);
  } catch (error) {
    throw new ImageError(`${name}: ${error.message}`, { cause: error });
  }
}

function decoderOf(bytes) {
  if (isPng(bytes)) return decodePng;
  if (isJpeg(bytes)) return decodeJpeg;
  throw new ImageError("is not a JPEG or PNG image");
}

function checkSize(width, height) {
  if (width * height <= MAX_PIXELS) return;
  throw new ImageError(`${width}x${height} pixels are more than the limit of ${MAX_PIXELS}`);
}
