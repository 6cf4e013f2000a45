// Who asks, and what each side is told of them.

import { randomUUID } from 'node:crypto';

import { createGraphQLError } from '@graphql-tools/utils';

import { DATASPOKE } from '../compose.mjs';

export const SECRET_HEADER = 'x-dataspoke-gateway';

// W3C Trace Context; where the caller has none, there is nothing to join.
const TRACE_HEADERS = ['traceparent', 'tracestate'];

/**
 * Options of the WebSocket to the subgraph, filled in for each operation.
 *
 * The gateway keeps one socket for each set of values, so a client's socket has one of its own
 * there: limits hold for each client, and no two callers meet on a socket.
 */
export const SUBSCRIPTION_OPTIONS = Object.freeze({
  headers: [
    [SECRET_HEADER, '{context.caller.secret}'],
    ['x-request-id', '{context.caller.connection}'],
  ],
  options: { connectionParams: { Authorization: '{context.caller.authorization}' } },
});

/**
 * Forward the caller's token and trace to both sides, and the gateway's secret to the subgraph.
 *
 * The token comes from the connection parameters of a WebSocket, or else from the header of the
 * request (or of the upgrade). Without one nothing but the schema can be asked for.
 */
export function useCaller({ gatewaySecret }) {
  const connections = new WeakMap();

  function connectionOf(context) {
    // The socket of a WebSocket client; an event stream over HTTP is a connection of its own.
    const { socket } = context;
    if (!socket) return randomUUID();
    if (!connections.has(socket)) connections.set(socket, randomUUID());
    return connections.get(socket);
  }

  function refuse({ args, setResultAndStopExecution }) {
    if (!args.contextValue.caller.authorization && asksForData(args)) {
      setResultAndStopExecution({ errors: [unauthenticated()] });
    }
  }

  return {
    onContextBuilding({ context, extendContext }) {
      const headers = context.request?.headers;
      extendContext({
        caller: {
          authorization:
            parameter(context.connectionParams, 'authorization') ??
            headers?.get('authorization') ??
            '',
          connection: connectionOf(context),
          secret: gatewaySecret,
          trace: Object.fromEntries(
            TRACE_HEADERS.map((name) => [name, headers?.get(name)]).filter(([, value]) => value),
          ),
        },
      });
    },
    onExecute: refuse,
    onSubscribe: refuse,
    onSubgraphExecute({ subgraphName, executionRequest, setExecutionRequest }) {
      const { authorization, trace } = executionRequest.context.caller;
      setExecutionRequest({
        ...executionRequest,
        // Nothing else: the executor also takes an address to send to from here.
        extensions: {
          headers: {
            ...trace,
            authorization,
            ...(subgraphName === DATASPOKE && gatewaySecret && { [SECRET_HEADER]: gatewaySecret }),
          },
        },
      });
    },
  };
}

function parameter(parameters, wanted) {
  for (const [name, value] of Object.entries(parameters ?? {})) {
    if (name.toLowerCase() === wanted && typeof value === 'string') return value;
  }
  return undefined;
}

/** Tell whether an operation has a root field other than those of introspection. */
function asksForData({ document, operationName }) {
  const operations = document.definitions.filter(({ kind }) => kind === 'OperationDefinition');
  const chosen =
    operations.find(({ name }) => operationName && name?.value === operationName) ?? operations[0];
  return chosen.selectionSet.selections.some(
    ({ kind, name }) => kind !== 'Field' || !name.value.startsWith('__'),
  );
}

function unauthenticated() {
  return createGraphQLError(
    "Send your DataHub token: the header 'Authorization: Bearer …', or Authorization among the " +
      'connection parameters of a WebSocket.',
    { extensions: { code: 'UNAUTHENTICATED' } },
  );
}
