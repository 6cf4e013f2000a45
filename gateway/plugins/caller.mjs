// Who asks, and what each side is told of them.

import { createGraphQLError } from '@graphql-tools/utils';
import { getOperationAST, Kind } from 'graphql';

import { DATASPOKE } from '../compose.mjs';

const SECRET_HEADER = 'x-dataspoke-gateway';

// W3C Trace Context; where the caller has none, there is nothing to join.
const TRACE_HEADERS = ['traceparent', 'tracestate'];

/**
 * Forward the caller's token and trace to both sides, and the gateway's secret to the subgraph.
 *
 * The token comes from the connection parameters of a WebSocket, or else from the header of the
 * request (or of the upgrade). Without one nothing but the schema can be asked for.
 */
export function useCaller({ gatewaySecret }) {
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
          // The socket of a WebSocket client; an event stream is a connection of its own.
          connection: context.socket ?? {},
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
  const operation = getOperationAST(document, operationName);
  return operation?.selectionSet.selections.some(
    ({ kind, name }) => kind !== Kind.FIELD || !name.value.startsWith('__'),
  );
}

function unauthenticated() {
  return createGraphQLError(
    "Send your DataHub token: the header 'Authorization: Bearer …', or Authorization among the " +
      'connection parameters of a WebSocket.',
    { extensions: { code: 'UNAUTHENTICATED' } },
  );
}
