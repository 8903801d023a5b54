/** What is wrong with an image or with the project, in one line for people. */
export class ImageError extends Error {}

/** An image: 8 bits a sample, rows one after the other, channels interleaved (1 grey, 3 RGB, 4 RGBA). */
export class Pixels {
  /**
   * @param {number} width
   * @param {number} height
   * @param {number} channels 1, 3 or 4; alpha is dropped by the preprocessing.
   * @param {Uint8Array} data width * height * channels samples; black where none are given.
   */
  constructor(width, height, channels, data = new Uint8Array(width * height * channels)) {
    if (![1, 3, 4].includes(channels)) throw new ImageError(`an image has ${channels} channels, not 1, 3 or 4`);
    if (width < 1 || height < 1 || data.length !== width * height * channels) {
      throw new ImageError(`an image has ${data.length} bytes, which is not ${width}x${height}x${channels}`);
    }
    Object.assign(this, { width, height, channels, data });
  }

  /** Copies a rectangle of `from` to (x, y) here; both have the same channels. */
  paste(from, fromX, fromY, x, y, width, height) {
    const { channels } = this;
    for (let row = 0; row < height; ++row) {
      const start = ((fromY + row) * from.width + fromX) * channels;
      this.data.set(from.data.subarray(start, start + width * channels), ((y + row) * this.width + x) * channels);
    }
  }
}
