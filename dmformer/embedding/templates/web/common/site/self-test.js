// Does this page answer like PyTorch, and if not, which stage differs? The verdict is also the page's title.
import { Engine } from "./engine.js";
import { compareEngine, comparePreprocessing, loadGolden } from "./golden.js";
import { NAME, PRECISION } from "./parameters.js";

const list = document.querySelector("#stages");
const verdict = document.querySelector("#verdict");

function conclude(state, text) {
  verdict.dataset.state = state;
  verdict.textContent = document.title = text;
}

/** One line for a stage; its name where it differs. */
function report(stage, images, { passed, facts }) {
  const item = document.createElement("li");
  item.dataset.state = passed ? "passed" : "failed";
  item.textContent = `${stage}: ${passed ? "ok" : "DIFFERS"}: ${images} images, ${facts}`;
  list.append(item);
  return passed ? [] : [stage];
}

async function main() {
  document.querySelector("#model").textContent = `${NAME}, ${PRECISION}`;
  const golden = await loadGolden();
  const images = golden.samples.length;
  const engine = await Engine.open();
  const [differs] = [
    ...report("preprocessing", images, comparePreprocessing(golden)),
    ...report("engine", images, await compareEngine(golden, engine)),
  ];
  if (differs) conclude("failed", `self-test failed: ${differs} differs`);
  else conclude("passed", "self-test passed");
}

main().catch((error) => conclude("failed", `self-test cannot be told: ${error.message}`));
