// PNG, decoded here rather than by the browser: a canvas would blend alpha into the colours (Python drops it) and some
// browsers would apply colour profiles. Inflating is the browser's.
import { exifOrientation, xmpOrientation } from "./orientation.js";
import { ImageError, Pixels } from "./pixels.js";

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const GREY = 0;
const PALETTE = 3;
const CHANNELS = { [GREY]: 1, 2: 3, [PALETTE]: 1, 4: 2, 6: 4 };
const DEPTHS = { [GREY]: [1, 2, 4, 8, 16], 2: [8, 16], [PALETTE]: [1, 2, 4, 8], 4: [8, 16], 6: [8, 16] };
const WHOLE = [[0, 0, 1, 1]];
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
const PIECE_BYTES = 8192;
const XMP_KEYWORD = "XML:com.adobe.xmp\0\0\0";

export const isPng = (bytes) => SIGNATURE.every((value, index) => bytes[index] === value);

/**
 * @param {Uint8Array} bytes A whole file.
 * @param {(width: number, height: number) => void} checkSize Throws where that is too large; called before decoding.
 * @returns {Promise<{image: Pixels, orientation: number}>} RGB; 16 bits are brought to 8 as Pillow does it.
 */
export async function decodePng(bytes, checkSize) {
  const header = headerOf(bytes);
  checkSize(header.width, header.height);
  const chunks = [...chunksOf(bytes)];
  const named = (name) => chunks.filter((chunk) => chunk.name === name).map((chunk) => chunk.data);
  const palette = new Uint8Array(3 * 256);
  if (header.type === PALETTE) palette.set((named("PLTE")[0] ?? []).slice(0, palette.length));
  const image = new Pixels(header.width, header.height, 3);
  await readRows(new Inflater(named("IDAT")), header, writerOf(header, palette), image);
  if (header.type === GREY && header.depth === 16) sixteenToEightBits(image.data);
  return { image, orientation: orientationOf(named("eXIf"), named("iTXt")) };
}

function headerOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 33 || latin1(bytes.subarray(12, 16)) !== "IHDR") throw new ImageError("its PNG header is damaged");
  const [depth, type, , , interlaced] = bytes.subarray(24, 29);
  const header = { width: view.getUint32(16), height: view.getUint32(20), depth, type, interlaced };
  if (!DEPTHS[type]?.includes(depth) || interlaced > 1 || !header.width || !header.height) {
    throw new ImageError("its PNG header is damaged");
  }
  return { ...header, bits: depth * CHANNELS[type] };
}

function* chunksOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = SIGNATURE.length; ; ) {
    if (at + 12 > bytes.length) throw new ImageError("the image file is truncated");
    const length = view.getUint32(at);
    const end = at + 8 + length;
    if (end + 4 > bytes.length) throw new ImageError("the image file is truncated");
    const name = latin1(bytes.subarray(at + 4, at + 8));
    if (name === "IEND") return;
    if (crc32(bytes.subarray(at + 4, end)) !== view.getUint32(end)) throw new ImageError(`its ${name} is damaged`);
    yield { name, data: bytes.subarray(at + 8, end) };
    at = end + 4;
  }
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; ++bit) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

function crc32(bytes) {
  let crc = -1;
  for (let index = 0; index < bytes.length; ++index) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[index]) & 255];
  return ~crc >>> 0;
}

const latin1 = (bytes) => String.fromCharCode(...bytes);

/**
 * Inflates piece by piece, and not much more than is asked for: a small file may hold any amount of zeros, and a browser
 * inflates the whole of what it is given at a time, up to a thousand times its size.
 */
class Inflater {
  #reader;
  #piece = new Uint8Array(0);

  constructor(parts) {
    const inflated = streamOf(piecesOf(parts)).pipeThrough(new DecompressionStream("deflate"));
    this.#reader = inflated.getReader();
  }

  /** Fills `row`. */
  async read(row) {
    for (let filled = 0; filled < row.length; ) {
      if (this.#piece.length === 0) this.#piece = await this.#next();
      const part = this.#piece.subarray(0, row.length - filled);
      row.set(part, filled);
      filled += part.length;
      this.#piece = this.#piece.subarray(part.length);
    }
  }

  async close() {
    await this.#reader.cancel().catch(() => {});
  }

  async #next() {
    const { done, value } = await this.#reader.read().catch(() => {
      throw new ImageError("its compressed data is damaged");
    });
    if (done) throw new ImageError("it has fewer rows than its header says");
    return value;
  }
}

function* piecesOf(parts) {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += PIECE_BYTES) yield part.subarray(at, at + PIECE_BYTES);
  }
}

/** A stream that takes from an iterator only what is asked for. */
function streamOf(iterator) {
  return new ReadableStream(
    {
      pull(controller) {
        const { done, value } = iterator.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
    },
    { highWaterMark: 0 },
  );
}

async function readRows(inflater, header, write, image) {
  const bytesPerPixel = Math.max(1, header.bits >> 3);
  for (const [left, top, stepX, stepY] of header.interlaced ? ADAM7 : WHOLE) {
    const width = Math.ceil((header.width - left) / stepX);
    if (width < 1) continue;
    // The first byte of a row is its filter's number.
    let row = new Uint8Array(1 + Math.ceil((width * header.bits) / 8));
    let above = new Uint8Array(row.length);
    for (let y = top; y < header.height; y += stepY) {
      await inflater.read(row);
      unfilter(row, above, bytesPerPixel);
      for (let x = 0; x < width; ++x) write(row, x, image.data, (y * image.width + left + x * stepX) * 3);
      [row, above] = [above, row];
    }
  }
  await inflater.close();
}

/** Undoes the filter of a row; `distance` is how far back the pixel to the left is. */
function unfilter(row, above, distance) {
  const kind = row[0];
  if (kind > 4) throw new ImageError("its compressed data is damaged");
  row[0] = above[0] = 0;
  if (kind === 0) return;
  for (let index = 1; index < row.length; ++index) {
    const back = index - distance;
    const left = back > 0 ? row[back] : 0;
    if (kind === 1) row[index] += left;
    else if (kind === 2) row[index] += above[index];
    else if (kind === 3) row[index] += (left + above[index]) >> 1;
    else row[index] += paeth(left, above[index], back > 0 ? above[back] : 0);
  }
}

function paeth(left, above, corner) {
  const guess = left + above - corner;
  const [toLeft, toAbove, toCorner] = [Math.abs(guess - left), Math.abs(guess - above), Math.abs(guess - corner)];
  if (toLeft <= toAbove && toLeft <= toCorner) return left;
  return toAbove <= toCorner ? above : corner;
}

/** What turns pixel `x` of a row into RGB at `out[to]`. Alpha is dropped. */
function writerOf({ depth, type, bits }, palette) {
  if (type === PALETTE) {
    const index = packed(depth);
    return (row, x, out, to) => {
      const entry = 3 * index(row, x);
      for (let c = 0; c < 3; ++c) out[to + c] = palette[entry + c];
    };
  }
  if (type === GREY) {
    if (depth === 16) return keepBothBytes;
    const value = scaled(depth);
    return (row, x, out, to) => {
      out[to] = out[to + 1] = out[to + 2] = value(row, x);
    };
  }
  // Everything else of 16 bits is cut to its high byte, as Pillow does.
  const sample = depth >> 3;
  const step = bits >> 3;
  const next = type === 4 ? 0 : sample;
  return (row, x, out, to) => {
    const at = 1 + x * step;
    out[to] = row[at];
    out[to + 1] = row[at + next];
    out[to + 2] = row[at + 2 * next];
  };
}

/** 16-bit grey waits in the place of its colours: what becomes of it depends on the whole picture. */
function keepBothBytes(row, x, out, to) {
  out[to] = row[1 + 2 * x];
  out[to + 1] = row[2 + 2 * x];
}

/** 16-bit grey is rounded to 8 bits; where the whole picture needs no more than 8, its values are taken as they are. */
function sixteenToEightBits(data) {
  let small = true;
  for (let at = 0; small && at < data.length; at += 3) small = data[at] === 0;
  for (let at = 0; at < data.length; at += 3) {
    const value = small ? data[at + 1] : Math.floor((data[at] * 256 + data[at + 1] + 128) / 257);
    data[at] = data[at + 1] = data[at + 2] = value;
  }
}

function scaled(depth) {
  const value = packed(depth);
  const factor = 255 / (2 ** depth - 1);
  return (row, x) => value(row, x) * factor;
}

/** Samples of 1 to 8 bits, the first in the highest bits. */
function packed(depth) {
  const mask = 2 ** depth - 1;
  return (row, x) => (row[1 + ((x * depth) >> 3)] >> (8 - depth - ((x * depth) & 7))) & mask;
}

function orientationOf(exifs, texts) {
  for (const exif of exifs) {
    const found = exifOrientation(exif);
    if (found) return found;
  }
  const xmp = texts.find((text) => latin1(text.subarray(0, XMP_KEYWORD.length)) === XMP_KEYWORD);
  return (xmp && xmpOrientation(xmp)) || 1;
}
