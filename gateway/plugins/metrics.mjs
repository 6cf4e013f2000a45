// Prometheus metrics at /metrics. Labels hold only what the gateway itself chooses: names of
// operations are the callers', and without number.

import { getOperationAST } from 'graphql';
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';

/** Count operations, and requests to each side with the time they took. */
export function useMetrics() {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const requests = new Counter({
    name: 'dataspoke_gateway_subgraph_requests_total',
    help: 'HTTP requests sent to a subgraph.',
    labelNames: ['subgraph'],
    registers,
  });
  const durations = new Histogram({
    name: 'dataspoke_gateway_subgraph_request_duration_seconds',
    help: 'Time until a subgraph answered an HTTP request; without those that it did not answer.',
    labelNames: ['subgraph', 'status'],
    registers,
  });
  const operations = new Counter({
    name: 'dataspoke_gateway_operations_total',
    help: 'Operations executed for callers, by type, and whether the answer had errors.',
    labelNames: ['type', 'errors'],
    registers,
  });
  const streams = new Gauge({
    name: 'dataspoke_gateway_open_subscriptions',
    help: 'Subscriptions that are open now.',
    registers,
  });

  return {
    async onRequest({ request, url, endResponse, fetchAPI }) {
      if (request.method !== 'GET' || url.pathname !== '/metrics') return;
      endResponse(
        new fetchAPI.Response(await registry.metrics(), {
          headers: { 'content-type': registry.contentType },
        }),
      );
    },
    onFetch({ executionRequest }) {
      const subgraph = executionRequest?.subgraphName;
      if (!subgraph) return undefined;
      requests.inc({ subgraph });
      const stop = durations.startTimer({ subgraph });
      return ({ response }) => void stop({ status: response.status });
    },
    onExecute({ args }) {
      const type = getOperationAST(args.document, args.operationName)?.operation ?? 'query';
      return {
        onExecuteDone({ result }) {
          operations.inc({ type, errors: result?.errors?.length ? 'yes' : 'no' });
        },
      };
    },
    onSubscribe() {
      return {
        onSubscribeResult({ result }) {
          const open = Boolean(result?.[Symbol.asyncIterator]);
          operations.inc({ type: 'subscription', errors: open ? 'no' : 'yes' });
          if (!open) return undefined;
          streams.inc();
          return { onEnd: () => streams.dec() };
        },
      };
    },
  };
}
