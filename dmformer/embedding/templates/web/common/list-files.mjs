// Lists the files of the folder site with their hashes, for its service worker. `npm install` runs this at its end.
import { createHash } from "node:crypto";
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const SITE = fileURLToPath(new URL("site/", import.meta.url));
const LIST = "files.js";
const OWN = new Set([LIST, "service-worker.js"]);

const files = {};
for (const name of (await readdir(SITE, { recursive: true })).sort()) {
  if (OWN.has(name) || !(await stat(SITE + name)).isFile()) continue;
  const hash = createHash("sha256").update(await readFile(SITE + name));
  files[name.replaceAll("\\", "/")] = `sha256-${hash.digest("base64")}`;
}
await writeFile(SITE + LIST, `const FILES = ${JSON.stringify(files, null, 2)};\n`);
