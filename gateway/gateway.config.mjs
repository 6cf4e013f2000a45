// Configuration of Hive Gateway, read once the supergraph is there.

import { existsSync, readFileSync } from 'node:fs';

import { blockFieldSuggestionsPlugin } from '@escape.tech/graphql-armor-block-field-suggestions';
import { maxAliasesPlugin } from '@escape.tech/graphql-armor-max-aliases';
import { maxDepthPlugin } from '@escape.tech/graphql-armor-max-depth';
import { maxTokensPlugin } from '@escape.tech/graphql-armor-max-tokens';
import httpTransport from '@graphql-mesh/transport-http';
import { renderGraphiQL } from '@graphql-yoga/render-graphiql';

import { DATASPOKE, HUB } from './compose.mjs';
import { useBodyLimit } from './plugins/body-limit.mjs';
import { useCaller } from './plugins/caller.mjs';
import { useHubEntities } from './plugins/entities.mjs';
import { useFailures } from './plugins/failures.mjs';
import { useMetrics } from './plugins/metrics.mjs';
import { unifiedGraphHandler } from './router.mjs';
import { readSettings } from './settings.mjs';
import { socketTransport } from './sockets.mjs';

export const MAX_BODY_BYTES = 1_000_000;
const MAX_TOKENS = 2000;
const MAX_DEPTH = 15;
// As the subgraph has it.
const MAX_ALIASES = 15;

const settings = readSettings(process.env);

export const gatewayConfig = {
  supergraph: readFileSync(settings.supergraph, 'utf8'),
  unifiedGraphHandler,
  transports: { http: httpTransport, ws: socketTransport },
  transportEntries: {
    [HUB]: { location: `${settings.hubUrl}/api/graphql` },
    [DATASPOKE]: {
      location: `${settings.subgraphUrl}/graphql`,
      options: { subscriptions: { kind: 'ws', location: '/graphql' } },
    },
  },
  upstreamTimeout: ({ subgraphName, executionRequest }) => {
    if (executionRequest?.operationType === 'subscription') return undefined;
    return subgraphName === HUB ? settings.hubTimeoutMs : settings.subgraphTimeoutMs;
  },
  plugins: () => [
    useBodyLimit(MAX_BODY_BYTES),
    useMetrics(),
    useCaller(settings),
    // What fails is put into words before it is told of items.
    useFailures(),
    useHubEntities(),
    maxTokensPlugin({ n: MAX_TOKENS }),
    maxDepthPlugin({ n: MAX_DEPTH }),
    maxAliasesPlugin({ n: MAX_ALIASES }),
    ...(settings.production ? [blockFieldSuggestionsPlugin()] : []),
  ],
  maskedErrors: true,
  batching: false,
  // A page of another origin has no business here: callers send their token themselves.
  cors: false,
  ...(settings.production && { disableIntrospection: {} }),
  graphqlEndpoint: '/graphql',
  healthCheckEndpoint: '/healthcheck',
  readinessCheckEndpoint: '/readiness',
  graphiql: settings.production ? false : graphiql(settings),
  // Brings all that it needs with it; the default page fetches its parts from elsewhere.
  renderGraphiQL,
  landingPage: false,
};

function graphiql({ readyQuery, demoToken }) {
  const query = existsSync(readyQuery) ? readFileSync(readyQuery, 'utf8') : readyQuery;
  return {
    title: 'DataSpoke',
    ...(query && { query, defaultQuery: query }),
    ...(demoToken && { headers: JSON.stringify({ Authorization: `Bearer ${demoToken}` }, null, 2) }),
    // A token has no business in the browser's storage, and the next demo has another one.
    shouldPersistHeaders: false,
    subscriptionsProtocol: 'SSE',
  };
}
