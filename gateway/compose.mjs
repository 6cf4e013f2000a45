// Composes the supergraph: the interface of the DataHub that is there, and DataSpoke's SDL.
//
//   npm run compose -- --hub URL [--out FILE]

import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

import { composeServices, compositionHasErrors } from '@theguild/federation-composition';
import {
  buildClientSchema,
  getIntrospectionQuery,
  Kind,
  parse,
  printSchema,
  specifiedScalarTypes,
} from 'graphql';

import { readSettings, SettingsError, VARIABLES } from './settings.mjs';

export const HUB = 'datahub';
export const DATASPOKE = 'dataspoke';

const SDL_FILE = fileURLToPath(new URL('../schema/subgraph.graphql', import.meta.url));

// The only names that both may define. Anything else would be merged in silence, and a caller
// would get one system's answer for the other's field.
const SHARED_TYPES = new Set([
  ...specifiedScalarTypes.map((type) => type.name),
  'Dataset',
  'Query',
  'Mutation',
  'Subscription',
  '_Any',
  '_Entity',
  '_Service',
]);
const SHARED_FIELDS = new Set(['Dataset.urn', 'Query._entities', 'Query._service']);

const RETRY_EVERY_MS = 1000;
const WAIT_MS = 60_000;
// There is another supergraph to go on with.
const SHORT_WAIT_MS = 5000;

/** Composition is impossible; the message says why and what to do. */
export class ComposeError extends Error {}

/** The hub cannot be asked now; trying again may help. */
export class HubUnavailable extends ComposeError {}

/**
 * Return the SDL of the supergraph of a hub's SDL and DataSpoke's.
 *
 * Addresses in it are placeholders: the gateway sets them from its settings. Throws ComposeError
 * where a name is in both and may not be, or where the two do not fit together.
 */
export function compose(hubSdl, dataspokeSdl) {
  const hub = parse(hubSdl, { noLocation: true });
  const dataspoke = parse(dataspokeSdl, { noLocation: true });
  const collisions = sharedNames(hub, dataspoke);
  if (collisions.length > 0) {
    throw new ComposeError(
      [
        "DataHub's interface and DataSpoke's SDL share names, so they cannot be one graph:",
        ...collisions.map((name) => `  ${name}`),
        "Rename them in DataSpoke's schema, or use the DataSpoke release for this DataHub.",
      ].join('\n'),
    );
  }
  const composed = composeServices([
    { name: HUB, typeDefs: withKey(hub), url: 'http://datahub.invalid/api/graphql' },
    { name: DATASPOKE, typeDefs: dataspoke, url: 'http://dataspoke.invalid/graphql' },
  ]);
  if (compositionHasErrors(composed)) {
    const lines = composed.errors.map((error) => `  ${error.message}`);
    throw new ComposeError(['The supergraph cannot be composed:', ...lines].join('\n'));
  }
  return composed.supergraphSdl;
}

/** Return what both documents define and may not: types, and fields of the types they share. */
function sharedNames(hub, dataspoke) {
  const theirs = definitions(hub);
  const found = [];
  for (const [type, fields] of definitions(dataspoke)) {
    const others = theirs.get(type);
    if (others === undefined) continue;
    if (!SHARED_TYPES.has(type)) {
      found.push(`type ${type}`);
      continue;
    }
    for (const field of fields) {
      const name = `${type}.${field}`;
      if (others.has(field) && !SHARED_FIELDS.has(name)) found.push(`field ${name}`);
    }
  }
  return found;
}

function definitions(document) {
  const types = new Map();
  for (const definition of document.definitions) {
    if (!/Type(Definition|Extension)$/.test(definition.kind)) continue;
    const fields = types.get(definition.name.value) ?? new Set();
    for (const field of definition.fields ?? []) fields.add(field.name.value);
    types.set(definition.name.value, fields);
  }
  return types;
}

/** Return DataHub's schema as a subgraph: it knows no federation, so its key is added here. */
function withKey(hub) {
  const federation = parse(
    `extend schema @link(url: "https://specs.apollo.dev/federation/v2.9", import: ["@key"])
     type Dataset @key(fields: "urn") { urn: String! }`,
    { noLocation: true },
  );
  const [link, keyed] = federation.definitions;
  const definitions = hub.definitions.map((definition) =>
    definition.kind === Kind.OBJECT_TYPE_DEFINITION && definition.name.value === 'Dataset'
      ? { ...definition, directives: [...(definition.directives ?? []), ...keyed.directives] }
      : definition,
  );
  return { ...hub, definitions: [link, ...definitions] };
}

/**
 * Return the SDL of the hub at `url`, by introspection as the owner of `token`.
 *
 * Throws HubUnavailable where it does not answer, ComposeError where it refuses or is no DataHub.
 */
export async function introspect(url, token, timeoutMs) {
  const endpoint = `${url}/api/graphql`;
  let response, text;
  try {
    response = await fetch(endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        ...(token && { authorization: `Bearer ${token}` }),
      },
      body: JSON.stringify({ query: getIntrospectionQuery() }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    text = await response.text();
  } catch (error) {
    const why = error.cause?.code ?? error.cause?.message ?? error.message;
    throw new HubUnavailable(`DataHub does not answer at ${endpoint} (${why}).`);
  }
  if ([408, 429, 500, 502, 503, 504].includes(response.status)) {
    throw new HubUnavailable(`DataHub at ${endpoint} answers HTTP ${response.status}.`);
  }
  if ([401, 403].includes(response.status)) {
    throw new ComposeError(
      `DataHub at ${endpoint} refuses the token (HTTP ${response.status}): give a valid one as ` +
        `${VARIABLES.hubToken}.`,
    );
  }
  let schema;
  try {
    schema = buildClientSchema(JSON.parse(text).data);
  } catch {
    throw new ComposeError(
      `What answers at ${endpoint} (HTTP ${response.status}) shows no GraphQL schema: give the ` +
        `address of DataHub's GMS as ${VARIABLES.hubUrl}, and let it allow introspection.`,
    );
  }
  const entities = schema.getQueryType()?.getFields().entities;
  if (!schema.getType('Dataset') || !entities?.args.some(({ name }) => name === 'urns')) {
    throw new ComposeError(
      `What answers at ${endpoint} is no DataHub: it has no Dataset, or no entities(urns). ` +
        `Give the address of DataHub's GMS as ${VARIABLES.hubUrl}.`,
    );
  }
  return printSchema(schema);
}

/**
 * Write the supergraph of the hub at `url` and of DataSpoke's SDL to `file`.
 *
 * A hub that is still starting is waited for. Where it stays away, the supergraph that an earlier
 * call wrote is kept, and `say` tells so. What is there already is not composed again.
 */
export async function composeTo(file, { url, token, timeoutMs, say }) {
  const dataspokeSdl = await readFile(SDL_FILE, 'utf8');
  const last = await lastComposed(file);
  const usable = last?.dataspoke === sum(dataspokeSdl);
  let hubSdl;
  try {
    hubSdl = await introspectPatiently(usable ? SHORT_WAIT_MS : WAIT_MS, url, token, timeoutMs, say);
  } catch (error) {
    if (!(error instanceof HubUnavailable)) throw error;
    if (!usable) {
      throw new ComposeError(
        `${error.message} Its interface is needed to compose the supergraph: start it, or give ` +
          `its address as ${VARIABLES.hubUrl}.`,
      );
    }
    say(`${error.message} Going on with the supergraph composed last: ${file}`);
    return;
  }
  if (usable && last.hub === sum(hubSdl)) {
    say(`The supergraph is up to date: ${file}`);
    return;
  }
  const header = `# composed of: hub ${sum(hubSdl)} dataspoke ${sum(dataspokeSdl)}\n`;
  const supergraph = header + compose(hubSdl, dataspokeSdl) + '\n';
  // Beside it and then in its place, so that nobody reads half of it.
  const staged = `${file}.${process.pid}`;
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFile(staged, supergraph);
    await rename(staged, file);
  } catch (error) {
    await rm(staged, { force: true }).catch(() => {});
    throw new ComposeError(
      `The supergraph cannot be written to ${file} (${error.code}): name a file that can be as ` +
        `${VARIABLES.supergraph}.`,
    );
  }
  say(`Composed the supergraph of ${url} and DataSpoke: ${file}`);
}

async function introspectPatiently(waitMs, url, token, timeoutMs, say) {
  const deadline = Date.now() + waitMs;
  for (let attempt = 1; ; attempt++) {
    try {
      return await introspect(url, token, timeoutMs);
    } catch (error) {
      if (!(error instanceof HubUnavailable) || Date.now() + RETRY_EVERY_MS > deadline) throw error;
      if (attempt === 1) say(`${error.message} Waiting up to ${waitMs / 1000} s for it …`);
    }
    await pause(RETRY_EVERY_MS);
  }
}

/** Return the sums of what `file` was composed of; null where there is no such file. */
async function lastComposed(file) {
  const text = await readFile(file, 'utf8').catch(() => '');
  return /^# composed of: hub (?<hub>\w+) dataspoke (?<dataspoke>\w+)\n/.exec(text)?.groups ?? null;
}

function sum(text) {
  return createHash('sha256').update(text).digest('hex');
}

async function main() {
  let options;
  try {
    options = parseArgs({ options: { hub: { type: 'string' }, out: { type: 'string' } } }).values;
  } catch (error) {
    throw new SettingsError(`${error.message} Usage: npm run compose -- --hub URL [--out FILE]`);
  }
  const env = options.hub ? { ...process.env, [VARIABLES.hubUrl]: options.hub } : process.env;
  const settings = readSettings(env);
  await composeTo(options.out ? resolve(options.out) : settings.supergraph, {
    url: settings.hubUrl,
    token: settings.hubToken,
    timeoutMs: settings.hubTimeoutMs,
    say: (line) => console.error(line),
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    const expected = error instanceof SettingsError || error instanceof ComposeError;
    console.error(expected ? error.message : error);
    process.exitCode = 1;
  });
}
