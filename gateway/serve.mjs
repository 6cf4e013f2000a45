// Serves the gateway over HTTP and WebSockets. Hive's own program does so too, but takes WebSocket
// messages of a hundred megabytes from anybody.

import { createServer } from 'node:http';

import { createGatewayRuntime, getGraphQLWSOptions, Logger } from '@graphql-hive/gateway-runtime';
import { normalizeNodeRequest } from '@whatwg-node/server';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

import { gatewayConfig, MAX_BODY_BYTES } from './gateway.config.mjs';

// How long what is being answered may take when the gateway is told to end.
const GRACE_MS = 5000;

/** Serve until the process is told to end; returns when it listens. */
export async function serve({ host, port }) {
  const log = new Logger();
  const runtime = createGatewayRuntime({ ...gatewayConfig, logging: log });
  await runtime.getSchema();
  const endpoint = runtime.graphqlEndpoint;
  const server = createServer((request, response) => {
    request.url = fromRoot(request.url, endpoint);
    return runtime(request, response);
  });
  const listener = new WebSocketServer({ server, maxPayload: MAX_BODY_BYTES });
  listener.shouldHandle = ({ url }) => fromRoot(url, endpoint).split('?')[0] === endpoint;
  const sockets = useServer(
    getGraphQLWSOptions(runtime, ({ extra }) => ({
      req: extra.request,
      socket: extra.socket,
      request: normalizeNodeRequest(extra.request, runtime.fetchAPI),
    })),
    listener,
  );
  await new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, host, resolve);
  });
  log.info(`Listening on http://${host}:${port}`);
  // The runtime ends with the process's signals, and what is deferred with it.
  runtime.disposableStack.defer(async () => {
    log.info('Stopping');
    const closed = new Promise((resolve) => server.close(resolve));
    const overdue = setTimeout(() => server.closeAllConnections(), GRACE_MS);
    await sockets.dispose();
    await closed;
    clearTimeout(overdue);
  });
}

/** Return the path of a request; the bare address, which is what people type, is the endpoint. */
function fromRoot(url, endpoint) {
  return /^\/(\?|$)/.test(url) ? endpoint + url.slice(1) : url;
}
