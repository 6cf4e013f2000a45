// WebSockets to the subgraph, for subscriptions.

import { buildGraphQLWSExecutor } from '@graphql-tools/executor-graphql-ws';
import { createClient } from 'graphql-ws';
import { WebSocket } from 'ws';

const PING_EVERY_MS = 30_000;
const PATIENCE_MS = 15_000;

/**
 * The transport of subscriptions: one socket at the subgraph for each of the clients' own.
 *
 * So the subgraph's limits hold for each client, and no two callers meet on a socket. Where it
 * breaks, the subscription ends with an error: opened again in silence, it would have missed what
 * happened meanwhile, or repeat it. Only the client knows after which event to go on.
 */
export const socketTransport = {
  getSubgraphExecutor({ transportEntry }) {
    const url = transportEntry.location.replace(/^http/, 'ws');
    const connections = new WeakMap();
    return (request) => {
      const { connection } = request.context.caller;
      const { headers } = request.extensions;
      const executors = connections.get(connection) ?? new Map();
      connections.set(connection, executors);
      let execute = executors.get(headers.authorization);
      if (!execute) {
        execute = buildGraphQLWSExecutor(connect(url, headers));
        executors.set(headers.authorization, execute);
      }
      // The headers went with the upgrade.
      return execute({ ...request, extensions: undefined });
    };
  },
};

function connect(url, headers) {
  class WebSocketWithHeaders extends WebSocket {
    constructor(address, protocols) {
      super(address, protocols, { headers, handshakeTimeout: PATIENCE_MS });
    }
  }
  let overdue;
  const client = createClient({
    url,
    webSocketImpl: WebSocketWithHeaders,
    connectionParams: { Authorization: headers.authorization },
    connectionAckWaitTimeout: PATIENCE_MS,
    shouldRetry: () => false,
    keepAlive: PING_EVERY_MS,
    on: {
      ping: (received) => {
        if (!received) overdue = setTimeout(() => client.terminate(), PATIENCE_MS);
      },
      pong: () => clearTimeout(overdue),
      closed: () => clearTimeout(overdue),
    },
  });
  return client;
}
