// node sdk/build.mjs OUT: policy.js as a component of the world whose function it exports.

import { spawnSync } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { argv, exit } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const WORLDS = { classify: 'retry', evaluate: 'alert', admit: 'admit' };
const sdk = dirname(fileURLToPath(import.meta.url));
const project = dirname(sdk);

function fail(message) {
  console.error(`error: ${message}`);
  exit(1);
}

async function compiler() {
  try {
    return (await import('componentize-qjs')).default.componentize;
  } catch (error) {
    return fail(`componentize-qjs is missing: run \`npm install\` in ${project} (${error.message})`);
  }
}

/** The world of the one function that policy.js exports for the host. */
function worldOf(policy) {
  const found = Object.keys(WORLDS).filter((name) => typeof policy[name] === 'function');
  if (found.length === 1) return WORLDS[found[0]];
  const wanted = Object.keys(WORLDS).join('`, `');
  return fail(`policy.js must export one function of \`${wanted}\`; it exports ${found.length} of them`);
}

const [out] = argv.slice(2);
if (out === undefined) fail('say where the component goes: node sdk/build.mjs OUT');
const componentize = await compiler();
const source = join(project, 'policy.js');
// An import tells a mistake of the grammar without its place.
const checked = spawnSync(process.execPath, ['--check', source], { encoding: 'utf8' });
if (checked.status !== 0) fail(checked.stderr.trim());
const policy = await import(pathToFileURL(source)).catch((error) => fail(error.stack));
const world = worldOf(policy);
const jsPath = join(sdk, 'worlds', `${world}.js`);
const options = { witPath: join(sdk, 'wit'), world, jsPath, moduleRoot: project, sync: true, stubWasi: true };
const made = componentize({ ...options, jsSource: await readFile(jsPath, 'utf8') });
const { component } = await made.catch((error) => fail(`${error.message}`.replace(/^[:\s]+/, '')));
await writeFile(out, component);
