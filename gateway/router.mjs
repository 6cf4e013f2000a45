// The Rust query planner, with two things set right in how its results are given out.

import { unifiedGraphHandler as plan } from '@graphql-hive/router-runtime';
import { isAsyncIterable, mapAsyncIterator } from '@graphql-tools/utils';

/** Handle a supergraph as router-runtime does. */
export async function unifiedGraphHandler(options) {
  const handled = await plan(options);
  return {
    ...handled,
    executor: async (request) => {
      const result = await handled.executor(request);
      return isAsyncIterable(result) ? mapAsyncIterator(result, complete) : complete(result);
    },
  };
}

function complete(result) {
  if (!result.errors) return result;
  return {
    // Left out where every root field failed; without it the answer reads as a bad request.
    data: null,
    ...result,
    // The list is kept from one event of a subscription to the next: it is emptied here, or an
    // error would come again with every event after it.
    errors: result.errors.splice(0),
  };
}
