// Usage: node sdk/build.mjs OUT
//
// Compiles policy.js to a component and writes it to OUT. The exports of policy.js select the world.

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

async function loadCompiler() {
  try {
    return (await import('componentize-qjs')).default.componentize;
  } catch (error) {
    return fail(`cannot load componentize-qjs (${error.message}); run \`npm install\` in ${project}`);
  }
}

/** Returns the world of the policy function that policy.js exports. */
function worldOf(policy) {
  const exported = Object.keys(WORLDS).filter((name) => typeof policy[name] === 'function');
  const readsBody = policy.readsBody ?? false;
  if (typeof readsBody !== 'boolean') return fail(`readsBody: expected true or false, not ${readsBody}`);
  if (exported.length === 1) {
    const world = WORLDS[exported[0]];
    if (!readsBody) return world;
    if (world === 'retry') return 'retry-with-response';
    return fail('readsBody: only a policy that exports `classify` can read the body of a response');
  }
  const known = Object.keys(WORLDS).join('`, `');
  return fail(`policy.js must export exactly one of the functions \`${known}\`, but it exports ${exported.length}`);
}

const [out] = argv.slice(2);
if (out === undefined) fail('missing argument OUT: usage is `node sdk/build.mjs OUT`');
const componentize = await loadCompiler();
const source = join(project, 'policy.js');
// A failed import reports a syntax error without its location, so `--check` runs first.
const syntaxCheck = spawnSync(process.execPath, ['--check', source], { encoding: 'utf8' });
if (syntaxCheck.status !== 0) fail(syntaxCheck.stderr.trim());
const policy = await import(pathToFileURL(source)).catch((error) => fail(error.stack));
const world = worldOf(policy);
const jsPath = join(sdk, 'worlds', `${world}.js`);
const options = { witPath: join(sdk, 'wit'), world, jsPath, moduleRoot: project, sync: true, stubWasi: true };
const compilation = componentize({ ...options, jsSource: await readFile(jsPath, 'utf8') });
const { component } = await compilation.catch((error) => fail(`${error.message}`.replace(/^[:\s]+/, '')));
await writeFile(out, component);
