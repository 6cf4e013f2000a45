// Composes the supergraph and starts the gateway.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { ComposeError, composeTo } from './compose.mjs';
import { readSettings, SettingsError } from './settings.mjs';

// Libraries are faster in it, and tell callers less.
process.env.NODE_ENV ??= 'production';

try {
  const settings = readSettings(process.env);
  await composeTo(settings.supergraph, {
    url: settings.hubUrl,
    token: settings.hubToken,
    timeoutMs: settings.hubTimeoutMs,
    say: (line) => console.error(line),
  });
} catch (error) {
  const expected = error instanceof SettingsError || error instanceof ComposeError;
  console.error(expected ? error.message : error);
  process.exit(1);
}

// After the environment is set, as libraries read it while they are loaded.
const { Logger, run } = await import('@graphql-hive/gateway');
const here = (file) => fileURLToPath(new URL(file, import.meta.url));
const { dependencies } = JSON.parse(readFileSync(here('package.json'), 'utf8'));
// It is a command line program, and takes its arguments from there.
process.argv.splice(2, Infinity, 'supergraph', '--config-path', here('gateway.config.mjs'));
try {
  await run({ log: new Logger(), version: dependencies['@graphql-hive/gateway'] });
} catch (error) {
  console.error(error.code === 'EADDRINUSE' ? portTaken(error) : error);
  process.exit(1);
}

function portTaken({ address, port }) {
  return `${address}:${port} is taken: end what listens there, or set DATASPOKE_GATEWAY__PORT.`;
}
