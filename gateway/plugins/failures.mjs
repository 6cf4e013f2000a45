// What a caller is told where one side fails: what it is and what to do, no address, no trace.

import { createGraphQLError, isAsyncIterable, mapAsyncIterator } from '@graphql-tools/utils';

import { HUB } from '../compose.mjs';

const NAMES = { [HUB]: 'DataHub' };

// Of what a side says itself, only these go on to the caller.
const PUBLIC_EXTENSIONS = ['code', 'classification', 'type'];

/**
 * Replace what the executors report of a side that does not answer, or refuses.
 *
 * Errors that the side gave for its own fields are passed on, without what they tell of its inside.
 * The rest goes to the log.
 */
export function useFailures() {
  return {
    onSubgraphExecute({ subgraphName, executor, setExecutor, log }) {
      const name = NAMES[subgraphName] ?? 'DataSpoke';
      const shown = (result) => {
        if (!result?.errors?.length) return result;
        return { ...result, errors: result.errors.map((error) => publicError(error, name, log)) };
      };
      setExecutor(async (request) => {
        let result;
        try {
          result = await executor(request);
        } catch (error) {
          return thrown(error, name, log);
        }
        if (!isAsyncIterable(result)) return shown(result);
        return mapAsyncIterator(result, shown, (error) => thrown(error, name, log));
      });
    },
  };
}

function thrown(error, name, log) {
  // A WebSocket client throws the errors that a subgraph answers a subscription with, as a list.
  const errors = Array.isArray(error) ? error : [error];
  return { errors: errors.map((each) => publicError(each, name, log)) };
}

function publicError(error, name, log) {
  const code = error.extensions?.code;
  const status = error.extensions?.response?.status ?? error.extensions?.http?.status;
  if (isOwn(error)) {
    const kept = PUBLIC_EXTENSIONS.filter((key) => error.extensions?.[key] !== undefined);
    return createGraphQLError(error.message, {
      path: error.path,
      extensions: Object.fromEntries(kept.map((key) => [key, error.extensions[key]])),
    });
  }
  log.warn({ code, status, reason: reasonOf(error) }, `${name} failed`);
  if (status === 401 || error.code === 4401) {
    return failure('UNAUTHENTICATED', `${name} does not accept the token.`);
  }
  if (status === 403 || error.code === 4403) {
    return failure('FORBIDDEN', `${name} refuses this request.`);
  }
  if (status === 504 || error.name === 'TimeoutError' || code === 'TIMEOUT_ERROR') {
    return failure('DEPENDENCY_TIMEOUT', `${name} did not answer in time. Try again.`);
  }
  if (status === undefined || status >= 500 || status === 429) {
    return failure('DEPENDENCY_UNAVAILABLE', `${name} cannot be reached now. Try again later.`);
  }
  return failure('DEPENDENCY_REJECTED', `${name} did not understand the gateway's request.`);
}

/** Tell whether a side reported an error itself, in a GraphQL answer. */
function isOwn(error) {
  // As it came over a WebSocket; what closes one has no message.
  if (!(error instanceof Error)) return typeof error.message === 'string';
  return (
    error.name === 'GraphQLError' &&
    error.originalError === undefined &&
    error.extensions?.request === undefined &&
    error.extensions?.http === undefined
  );
}

function failure(code, message) {
  return createGraphQLError(message, { extensions: { code } });
}

function reasonOf(error) {
  const cause = error.originalError?.cause ?? error.cause;
  return cause?.code ?? cause?.message ?? error.reason ?? error.name;
}
