// DataHub as a subgraph: it has no `_entities`, but `entities(urns)` does the same for urns.

import { relocatedError } from '@graphql-tools/utils';
import { Kind, parseType, visit } from 'graphql';

import { HUB } from '../compose.mjs';

// More requests than this are not spent on finding the items that make one batch fail: three of a
// hundred are found with fewer.
const MOST_RETRIES = 40;

/**
 * Turn what the planner asks of DataHub's `_entities` into `entities(urns)`: one request for all.
 *
 * Items keep the order of their representations; one that DataHub does not have is null. Where
 * DataHub fails a whole batch for one of its items, the batch is halved until that item is alone.
 */
export function useHubEntities() {
  // The planner gives the same document for the same operation.
  const cache = new WeakMap();

  return {
    onSubgraphExecute({ subgraphName, executionRequest, executor, setExecutor }) {
      if (subgraphName !== HUB) return;
      let rewritten = cache.get(executionRequest.document);
      if (!rewritten) {
        rewritten = rewrite(executionRequest.document);
        cache.set(executionRequest.document, rewritten);
      }
      const { document, lists } = rewritten;
      if (lists.length === 0) return;
      setExecutor((request) => {
        const variables = { ...request.variables };
        for (const variable of new Set(lists.map((list) => list.variable))) {
          variables[variable] = variables[variable].map(({ urn }) => urn);
        }
        return read(executor, { ...request, document, variables }, lists, { left: MOST_RETRIES });
      });
    },
  };
}

/**
 * Return the document with each `_entities` replaced, under the same response key, so that paths of
 * errors still fit; and where its lists are: the response key and the variable of each.
 */
function rewrite(document) {
  const lists = [];
  const replaced = visit(document, {
    Field(node) {
      if (node.name.value !== '_entities') return undefined;
      const [argument] = node.arguments;
      const key = node.alias ?? node.name;
      lists.push({ key: key.value, variable: argument.value.name.value });
      return {
        ...node,
        alias: key,
        name: { kind: Kind.NAME, value: 'entities' },
        arguments: [{ ...argument, name: { kind: Kind.NAME, value: 'urns' } }],
      };
    },
  });
  const variables = new Set(lists.map((list) => list.variable));
  return {
    lists,
    document: visit(replaced, {
      VariableDefinition(node) {
        if (!variables.has(node.variable.name.value)) return undefined;
        return { ...node, type: parseType('[String!]!', { noLocation: true }) };
      },
    }),
  };
}

/** Ask for all lists, and again in halves for each that failed as a whole. */
async function read(executor, request, lists, retries) {
  let result = await executor(request);
  for (const { key, variable } of lists) {
    const urns = request.variables[variable];
    // Without data the request failed, not one of the items: the halves would fail too.
    if (result.data?.[key] !== null || urns.length < 2 || retries.left < 2) continue;
    retries.left -= 2;
    const middle = Math.ceil(urns.length / 2);
    const others = Object.fromEntries(lists.map((list) => [list.variable, []]));
    const halves = await Promise.all(
      [urns.slice(0, middle), urns.slice(middle)].map((half) => {
        const variables = { ...request.variables, ...others, [variable]: half };
        return read(executor, { ...request, variables }, [{ key, variable }], retries);
      }),
    );
    result = {
      ...result,
      data: {
        ...result.data,
        [key]: [
          ...(halves[0].data?.[key] ?? Array(middle).fill(null)),
          ...(halves[1].data?.[key] ?? Array(urns.length - middle).fill(null)),
        ],
      },
      errors: [
        ...(result.errors ?? []).filter(({ path }) => path?.[0] !== key),
        ...errorsOf(halves[0], key, 0, middle),
        ...errorsOf(halves[1], key, middle, urns.length),
      ],
    };
  }
  return result;
}

/** Return the errors of a part of a list as errors of its items from `start` to `end`. */
function errorsOf(part, key, start, end) {
  return (part.errors ?? []).flatMap((error) => {
    const [first, index, ...rest] = error.path ?? [];
    if (first === key && typeof index === 'number') {
      return [relocatedError(error, [key, start + index, ...rest])];
    }
    // It says nothing of the item: true of every one that is now null.
    return Array.from({ length: end - start }, (_, item) =>
      relocatedError(error, [key, start + item]),
    );
  });
}
