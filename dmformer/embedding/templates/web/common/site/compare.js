// What PyTorch answered, and whether the engine answers alike: logits.

/** The logits of a golden sample. */
export const readAnswer = (sample, golden, read) => read(sample.logits, "float32");

/** The stage "engine": its answers to the golden tensors, whatever is preprocessed here, against PyTorch's. */
export async function compareEngine({ samples, tolerance }, engine) {
  const found = await engine.run(samples.map((sample) => sample.tensor));
  const facts = differenceOf(samples.map((sample) => sample.answer), found);
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
