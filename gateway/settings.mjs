// The gateway's settings, read from the environment and checked once.

import { homedir } from 'node:os';
import { join } from 'node:path';

/** A setting that is missing or wrong. Its message names the variable and the fix. */
export class SettingsError extends Error {}

/** Every variable that the gateway reads; README.md explains them. */
export const VARIABLES = Object.freeze({
  environment: 'DATASPOKE_ENVIRONMENT',
  hubUrl: 'DATASPOKE_HUB__URL',
  hubToken: 'DATASPOKE_HUB__TOKEN',
  hubTimeout: 'DATASPOKE_HUB__TIMEOUT_S',
  subgraphUrl: 'DATASPOKE_GATEWAY__SUBGRAPH_URL',
  subgraphTimeout: 'DATASPOKE_SUBGRAPH__TIMEOUT_S',
  gatewaySecret: 'DATASPOKE_SUBGRAPH__GATEWAY_SECRET',
  host: 'DATASPOKE_GATEWAY__HOST',
  port: 'DATASPOKE_GATEWAY__PORT',
  supergraph: 'DATASPOKE_GATEWAY__SUPERGRAPH',
  readyQuery: 'DATASPOKE_GATEWAY__READY_QUERY',
  demoToken: 'DATASPOKE_GATEWAY__DEMO_TOKEN',
});

/**
 * Return the settings that `env` gives, with the defaults of development for what it leaves out.
 *
 * Throws SettingsError: one line for each variable that is wrong.
 */
export function readSettings(env) {
  const problems = [];
  const given = (name) => (env[VARIABLES[name]] ?? '').trim();

  const environment = given('environment') || 'development';
  if (!['development', 'production'].includes(environment)) {
    problems.push(`${VARIABLES.environment} is ${environment}: give development or production.`);
  }
  const production = environment === 'production';

  const url = (name, development) => {
    const text = given(name) || development;
    const parsed = URL.canParse(text) ? new URL(text) : null;
    if (!['http:', 'https:'].includes(parsed?.protocol) || parsed.search || parsed.hash) {
      problems.push(`${VARIABLES[name]} is no address: give one such as ${development}.`);
      return development;
    }
    if (parsed.username || parsed.password) {
      problems.push(`${VARIABLES[name]} holds a password: callers are known by their tokens.`);
      return development;
    }
    return text.replace(/\/+$/, '');
  };
  const number = (name, fallback, fits, wanted) => {
    const text = given(name);
    const value = text ? Number(text) : fallback;
    if (!fits(value)) problems.push(`${VARIABLES[name]} is ${text}: give ${wanted}.`);
    return value;
  };
  const seconds = (name) => number(name, 30, (value) => value > 0, 'seconds above 0');

  const settings = {
    production,
    hubUrl: url('hubUrl', 'http://127.0.0.1:8080'),
    hubToken: given('hubToken'),
    hubTimeoutMs: seconds('hubTimeout') * 1000,
    subgraphUrl: url('subgraphUrl', 'http://127.0.0.1:4001'),
    subgraphTimeoutMs: seconds('subgraphTimeout') * 1000,
    gatewaySecret: given('gatewaySecret'),
    host: given('host') || '127.0.0.1',
    port: number(
      'port',
      4000,
      (value) => Number.isInteger(value) && value > 0 && value < 65536,
      'a port from 1 to 65535',
    ),
    supergraph: given('supergraph') || defaultSupergraph(env),
    readyQuery: given('readyQuery'),
    demoToken: given('demoToken'),
  };
  // They become headers, where these would end the header or make it unreadable.
  for (const name of ['hubToken', 'gatewaySecret', 'demoToken']) {
    if (!/^[\x21-\x7e]*$/.test(settings[name])) {
      problems.push(`${VARIABLES[name]} holds a space or a character that no header may hold.`);
    }
  }
  if (production) {
    if (!given('hubUrl')) {
      problems.push(`${VARIABLES.hubUrl} is not set: give the address of DataHub's GMS.`);
    }
    if (!settings.hubToken) {
      problems.push(`${VARIABLES.hubToken} is not set: give the token of DataSpoke's account.`);
    }
    if (!settings.gatewaySecret) {
      problems.push(`${VARIABLES.gatewaySecret} is not set: agree on one with the subgraph.`);
    }
    if (settings.demoToken) {
      problems.push(`${VARIABLES.demoToken} is for the demo only: unset it.`);
    }
  }
  if (problems.length > 0) throw new SettingsError(problems.join('\n'));
  return Object.freeze(settings);
}

// Not in this folder, which the gateway's user may not write in a container.
function defaultSupergraph(env) {
  const cache = env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'dataspoke', 'supergraph.graphql');
}
