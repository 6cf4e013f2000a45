// Composes the supergraph and starts the gateway.

import { createServer } from 'node:net';

import { ComposeError, composeTo } from './compose.mjs';
import { readSettings, SettingsError, VARIABLES } from './settings.mjs';

// Libraries are faster in it, and tell callers less.
process.env.NODE_ENV ??= 'production';

try {
  const settings = readSettings(process.env);
  await requireAddress(settings);
  await composeTo(settings.supergraph, {
    url: settings.hubUrl,
    token: settings.hubToken,
    timeoutMs: settings.hubTimeoutMs,
    say: (line) => console.error(line),
  });
  // After the environment is set and the supergraph is there: both are read while it is loaded.
  const { serve } = await import('./serve.mjs');
  await serve(settings);
} catch (error) {
  const expected = error instanceof SettingsError || error instanceof ComposeError;
  console.error(expected ? error.message : error);
  process.exit(1);
}

/** Throw SettingsError where the gateway could not listen: it would say so at length, and late. */
async function requireAddress({ host, port }) {
  const probe = createServer();
  try {
    await new Promise((resolve, reject) => probe.once('error', reject).listen(port, host, resolve));
  } catch ({ code }) {
    const fix =
      code === 'EADDRINUSE'
        ? `is taken: end what listens there, or set ${VARIABLES.port}.`
        : `cannot be listened on (${code}): set ${VARIABLES.host} and ${VARIABLES.port}.`;
    throw new SettingsError(`${host}:${port} ${fix}`);
  }
  await new Promise((resolve) => probe.close(resolve));
}
