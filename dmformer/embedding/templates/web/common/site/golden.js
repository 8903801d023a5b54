// The golden samples: what PyTorch was given and what it answered, and whether this project does the same.
import { PREPROCESSING } from "./parameters.js";
import { Pixels } from "./pixels.js";
import { preprocess } from "./preprocessing.js";

const FOLDER = new URL("./golden/", import.meta.url);

async function fetched(name) {
  const answer = await fetch(new URL(name, FOLDER));
  if (!answer.ok) throw new Error(`golden/${name}: cannot be loaded (${answer.status})`);
  return answer;
}

/** @returns {Promise<{tolerance: object, samples: {name, image, tensor, logits}[]}>} */
export async function loadGolden() {
  const { tolerance, dtype, samples } = await (await fetched("golden.json")).json();
  return { tolerance, samples: await Promise.all(samples.map((sample) => loadSample(sample, READERS[dtype]))) };
}

const READERS = { float32: littleEndian, uint8: (buffer) => new Uint8Array(buffer) };

async function loadSample({ name, width, height, channels, pixels, tensor, logits }, read) {
  const files = await Promise.all([pixels, tensor, logits].map(fetched));
  const [image, expected, answers] = await Promise.all(files.map((file) => file.arrayBuffer()));
  return {
    name,
    image: new Pixels(width, height, channels, new Uint8Array(image)),
    tensor: read(expected),
    logits: littleEndian(answers),
  };
}

function littleEndian(buffer) {
  const view = new DataView(buffer);
  return Float32Array.from({ length: buffer.byteLength / 4 }, (_, index) => view.getFloat32(4 * index, true));
}

/** The stage "preprocessing": the golden pixels, preprocessed here, against the golden tensors. */
export function comparePreprocessing({ samples, tolerance }) {
  let worst = 0; // 1 is what is allowed.
  let where = "";
  for (const { name, image, tensor } of samples) {
    preprocess(image, PREPROCESSING).forEach((value, index) => {
      const channel = channelOf(index, tensor.length);
      const share = Math.abs(value - tensor[index]) / tolerance.tensor[channel];
      // Written so that a comparison with NaN is the worst.
      if (share <= worst || Number.isNaN(worst)) return;
      worst = share;
      where = `, in channel ${channel} of ${name}`;
    });
  }
  return { passed: worst <= 1, facts: `worst difference ${worst.toFixed(3)} steps of 8 bits${where}` };
}

/** Pixels are [height, width, channels], tensors [channels, height, width]. */
function channelOf(index, length) {
  const channels = PREPROCESSING.mean.length;
  return PREPROCESSING.dtype === "uint8" ? index % channels : Math.floor((index * channels) / length);
}

/** The stage "engine": its answers to the golden tensors, whatever is preprocessed here, against PyTorch's. */
export async function compareEngine({ samples, tolerance }, engine) {
  const found = await engine.run(samples.map((sample) => sample.tensor));
  const facts = differenceOf(samples.map((sample) => sample.logits), found);
  // Written so that a comparison with NaN fails; what is null is not judged.
  const within = [
    facts.error <= (tolerance.max_abs_error ?? Infinity) * Math.max(1, facts.scale),
    tolerance.min_sqnr_db === null || facts.sqnr >= tolerance.min_sqnr_db,
    tolerance.min_agreement === null || facts.agreement >= tolerance.min_agreement,
  ];
  const agreement = `agreement ${(100 * facts.agreement).toFixed(2)} %`;
  const sqnr = facts.sqnr === Infinity ? "outputs equal" : `SQNR ${facts.sqnr.toFixed(1)} dB`;
  const noise = `${sqnr}, largest difference ${facts.error.toExponential(2)}`;
  return { passed: within.every(Boolean), facts: `${agreement}, ${noise}` };
}

function differenceOf(expected, found) {
  let [signal, noise, error, scale, agreeing] = [0, 0, 0, 0, 0];
  expected.forEach((row, index) => {
    row.forEach((value, c) => {
      const difference = Math.abs(found[index][c] - value);
      signal += value * value;
      noise += difference * difference;
      error = Math.max(error, difference);
      scale = Math.max(scale, Math.abs(value));
    });
    agreeing += top1(found[index]) === top1(row) ? 1 : 0;
  });
  const sqnr = noise === 0 ? Infinity : 10 * (Math.log10(signal || 2 ** -1022) - Math.log10(noise)); // Zeros are no signal.
  return { error, scale, agreement: agreeing / expected.length, sqnr };
}

const top1 = (logits) => logits.indexOf(logits.reduce((one, other) => Math.max(one, other)));
